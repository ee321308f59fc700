package ldapauth_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"

	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/loopback"
)

// A fake is a directory in this process that does as it is told: what a real one
// does only when something is wrong with it.
type fake struct {
	url      string
	bind     gldap.HandlerFunc
	search   gldap.HandlerFunc
	binds    atomic.Int32 // as users
	searches atomic.Int32
	whoami   gldap.HandlerFunc // nil: it does not know the question
	account  gldap.HandlerFunc // answers the bind of the account that searches; nil: yes
	healed   atomic.Bool       // bind, search and account do no harm any more
}

// newFake starts one with a user "alice" of password "alice-secret" in the group
// "traders", but for what the changes make different.
func newFake(t *testing.T, change ...func(*fake)) *fake {
	t.Helper()
	f := &fake{}
	f.bind, f.search = f.bindAlice, f.searchAlice
	for _, c := range change {
		c(f)
	}
	server, err := gldap.NewServer(gldap.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	mux, err := gldap.NewMux()
	if err != nil {
		t.Fatal(err)
	}
	_ = mux.Bind(func(w *gldap.ResponseWriter, r *gldap.Request) {
		switch m, err := r.GetSimpleBindMessage(); {
		case err == nil && m.UserName != service:
			f.binds.Add(1)
			f.unlessHealed(f.bind, f.bindAlice)(w, r)
		case f.account != nil:
			f.unlessHealed(f.account, yes)(w, r)
		default:
			yes(w, r)
		}
	})
	_ = mux.Search(func(w *gldap.ResponseWriter, r *gldap.Request) {
		f.searches.Add(1)
		f.unlessHealed(f.search, f.searchAlice)(w, r)
	})
	if f.whoami != nil {
		_ = mux.ExtendedOperation(f.whoami, gldap.ExtendedOperationWhoAmI)
	}
	_ = server.Router(mux)
	address := freeAddress(t)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Run(address) })
	t.Cleanup(func() {
		_ = server.Stop()
		running.Wait()
	})
	f.url = "ldap://" + address
	waitFor(t, address)
	return f
}

func (f *fake) unlessHealed(ill, well gldap.HandlerFunc) gldap.HandlerFunc {
	if f.healed.Load() {
		return well
	}
	return ill
}

func yes(w *gldap.ResponseWriter, r *gldap.Request) { answerBind(w, r, gldap.ResultSuccess) }

const (
	service  = "cn=orbitd,dc=example"
	aliceDN  = "uid=alice,ou=people,dc=example"
	traders  = "cn=traders,ou=groups,dc=example"
	peopleDN = "ou=people,dc=example"
	groupsDN = "ou=groups,dc=example"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Free()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// waitFor waits until somebody listens; whoever waits for ever is stopped with
// the test.
func waitFor(t *testing.T, address string) {
	t.Helper()
	for t.Context().Err() == nil {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (f *fake) options() ldapauth.Options {
	return ldapauth.Options{
		URLs: []string{f.url}, PlainText: true, BindDN: service, BindPassword: "secret", UserBase: peopleDN, GroupBase: groupsDN,
		DialTimeout: time.Second, OperationTimeout: 200 * time.Millisecond, LoginTimeout: 2 * time.Second,
	}
}

func answerBind(w *gldap.ResponseWriter, r *gldap.Request, code int) {
	_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(code)))
}

func (f *fake) bindAlice(w *gldap.ResponseWriter, r *gldap.Request) {
	if m, err := r.GetSimpleBindMessage(); err == nil && m.UserName == aliceDN && m.Password == "alice-secret" {
		answerBind(w, r, gldap.ResultSuccess)
		return
	}
	answerBind(w, r, gldap.ResultInvalidCredentials)
}

func (f *fake) searchAlice(w *gldap.ResponseWriter, r *gldap.Request) {
	switch m, _ := r.GetSearchMessage(); {
	case m.Filter == "(uid=alice)" || m.Filter == "(&(uid=*)(|(uid=alice)))":
		_ = w.Write(r.NewSearchResponseEntry(aliceDN, gldap.WithAttributes(map[string][]string{"uid": {"alice"}})))
	case m.Filter == "(member="+aliceDN+")":
		_ = w.Write(r.NewSearchResponseEntry(traders, gldap.WithAttributes(map[string][]string{"cn": {"traders"}})))
	}
	done(w, r, gldap.ResultSuccess)
}

func done(w *gldap.ResponseWriter, r *gldap.Request, code int) {
	_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(code)))
}

// A proxy stands before a directory and does harm to what comes from it. harm
// gets each piece with the connection to the client.
type proxy struct {
	url    string
	conns  atomic.Int32
	healed atomic.Bool // it does no harm any more
	// toServer is all that clients have sent.
	mu       sync.Mutex
	toServer []byte
	open     []net.Conn
}

func newProxy(t *testing.T, to string, harm func(client net.Conn, piece []byte)) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{url: "ldap://" + l.Addr().String()}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.keep(client)
			p.conns.Add(1)
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.keep(server)
			all.Go(func() { defer func() { _ = server.Close() }(); _, _ = io.Copy(server, io.TeeReader(client, p)) })
			all.Go(func() { defer func() { _ = client.Close() }(); p.forward(client, server, harm) })
		}
	})
	return p
}

func (p *proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toServer = append(p.toServer, b...)
	return len(b), nil
}

func (p *proxy) sent() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.toServer)
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, c)
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

func (p *proxy) forward(client, server net.Conn, harm func(net.Conn, []byte)) {
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		switch {
		case n > 0 && p.healed.Load():
			pass(client, b[:n])
		case n > 0:
			harm(client, b[:n])
		}
		if err != nil {
			return
		}
	}
}

func pass(client net.Conn, piece []byte) { _, _ = client.Write(piece) }
