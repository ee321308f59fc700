package storm_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/tests/scene"
	"github.com/orbitd/orbitd/tests/slapd"
)

const (
	people = 200 // in the directory, all traders
	// atOnce is how many connect at a time: the kernel's queue of a listener is 4,096.
	atOnce = 2000
)

// count is how many clients there are.
func count() int {
	if testing.Short() {
		return 1000
	}
	return 10_000
}

// 10,000 clients that come back are no storm of binds, and of searches no more than
// their users need: not after a lost network, when the daemon knows them, and not after
// its death, when it knows nobody. Nor are 10,000 logins by password.
func TestReturn(t *testing.T) {
	d, directory := start(t, "")
	for i := range people {
		uid := name(i)
		directory.Add(slapd.Person(uid), "objectClass: inetOrgPerson", "uid: "+uid, "cn: "+uid, "sn: "+uid, "userPassword: "+uid+"-secret")
		directory.Join(slapd.Group("traders"), slapd.Person(uid))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	tokens := make([]string, people)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()

	cost := func(what string, binds, searches int, f func()) {
		t.Helper()
		b, s, begin := directory.Logged(`BIND dn="uid=[^"]*" method=128`), directory.Logged(`SRCH base=`), time.Now()
		f()
		took := time.Since(begin)
		b, s = directory.Logged(`BIND dn="uid=[^"]*" method=128`)-b, directory.Logged(`SRCH base=`)-s
		t.Logf("%s: %d binds and %d searches in %.1f s", what, b, s, took.Seconds())
		if b > binds || s > searches {
			t.Errorf("%s: more than %d binds or %d searches", what, binds, searches)
		}
	}
	// Of each user what was right is known once, and then as often as were under way.
	const underWay = 64
	cost("all log in", people+underWay, 2*people+2*underWay, func() {
		together(100, func(i int) {
			status, token, err := login(ctx, client, d, name(i), name(i)+"-secret", fmt.Sprintf("192.0.2.%d", i%people))
			if err != nil || status != http.StatusOK {
				t.Errorf("%s: %d, %v", name(i), status, err)
			}
			if i < people {
				tokens[i] = token
			}
		})
	})
	if t.Failed() {
		t.FailNow()
	}
	conns := make([]net.Conn, count())
	arrive := func() {
		together(atOnce, func(i int) {
			var err error
			if conns[i], err = arrive(ctx, d, tokens[i%people]); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	leave := func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}
	defer leave()
	cost("all come", 0, 0, arrive)
	leave()
	cost("all come back", 0, 0, arrive)
	d.Kill()
	again(t, d)
	leave()
	cost("all come back after the daemon's death", 0, 2*people, arrive)
}

func name(i int) string { return fmt.Sprintf("user%03d", i%people) }

// together does f for each client, so many at a time.
func together(most int, f func(i int)) {
	turns := make(chan struct{}, most)
	var all sync.WaitGroup
	for i := range count() {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			f(i)
		})
	}
	all.Wait()
}

// arrive opens a session that listens to what is for traders alone.
func arrive(ctx context.Context, d *scene.Daemon, token string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	_, _, err = ws.Dialer{}.Upgrade(c, &url.URL{Scheme: "ws", Host: d.Address, Path: "/v1/ws"})
	if err == nil {
		err = wsutil.WriteClientText(c, fmt.Appendf(nil, `{"id":1,"op":"connect","token":%q,"last":{"/desk/1":0}}`, token))
	}
	var text []byte
	if err == nil {
		text, err = wsutil.ReadServerText(c)
	}
	if err == nil && !bytes.Contains(text, []byte(`"subs":{"/desk/1":{"offset"`)) {
		err = fmt.Errorf("it is answered by %s", text)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}
