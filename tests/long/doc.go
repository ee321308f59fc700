// Package long holds tests that take long: each is skipped unless the variable
// ORBITD_LONG says how long it may.
//
//	make long            # an hour
//	make long LONG=5m    # the least that says something
package long
