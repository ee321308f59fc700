package stomp_test

// demoUser is alice, whose password is "demo".
const demoUser = `alice:$argon2id$v=19$m=19456,t=2,p=1$UqWKjNiOHU/C3nwPeidgJw$yRwKn/M9beeHsPirkQ+PgNM130BDIwFT2r1Gl70epiU:editors
`
