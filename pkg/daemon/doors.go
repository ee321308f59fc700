package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/httpapi"
	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/transport"
)

// startDoors serves on the listeners.
func (d *Daemon) startDoors(c *config.Config, o Options, listeners map[string][]net.Listener) error {
	api, err := httpapi.New(httpapi.Options{
		Broker: d.broker, Issuer: d.currentIssuer, Ended: d.everybody().loginEnded, TokenOf: transport.TokenOf, Cookie: transport.Cookie,
		Gate: d.gate, Logger: d.log, CompressFrom: int(c.Server.Compression),
	})
	if err != nil {
		return err
	}
	d.front, err = httpserver.New(httpserver.Options{
		Reactor: d.reactor, Handler: d.strict(doors(d.gate, d.transport, api, pages(d.hasDemo))), UpgradePath: transport.Path, Upgrade: d.transport.Upgrade,
		Logger: d.log, Now: d.now,
	})
	if err != nil {
		return err
	}
	d.stop.add("http server", func(ctx context.Context) error { return d.within(ctx, requestTime, d.front.Shutdown, nil) })
	d.stop.add("connections", d.drain)
	d.stop.add("accepting", func(context.Context) error {
		d.front.Unlisten()
		for _, l := range slices.Concat(listeners["stomp"], listeners["stomps"]) {
			d.reactor.Unlisten(l)
		}
		return nil
	})
	if err := d.serve(listeners); err != nil {
		return err
	}
	counted, err := d.metrics()
	if err != nil {
		return err
	}
	d.attend("ops", ops(d.engine, o.Version, func() (int, int) { return d.reactor.Len(), d.sessions.Count() }, counted), 10*time.Second, listeners["ops"])
	d.attend("control", admin.NewHandler(d), 0, listeners["control"])
	d.watchTLS()
	d.startPulse(o.Watchdog)
	return nil
}

// serve accepts clients. Where there is no certificate there is no listener for
// https and stomps: see listen.
func (d *Daemon) serve(listeners map[string][]net.Listener) error {
	for _, l := range listeners["http"] {
		if err := d.front.Listen(l); err != nil {
			return err
		}
	}
	for _, l := range listeners["stomp"] {
		if err := d.reactor.Listen(l, d.stomp.Accept); err != nil {
			return err
		}
	}
	if d.tls == nil {
		return nil
	}
	for _, l := range listeners["stomps"] {
		if err := d.reactor.ListenTLS(l, d.tls.Config(), d.stomp.Accept); err != nil {
			return err
		}
	}
	secured := d.tls.Config(httpserver.Protocols()...)
	for _, l := range listeners["https"] {
		if err := d.front.ListenTLS(l, secured); err != nil {
			return err
		}
	}
	return nil
}

// doors sends each request to its handler. No http.ServeMux sees the calls: it
// would redirect a channel such as /a/../b to another one.
func doors(gate *origin.Gate, transports *transport.Server, api, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case !gate.HostAllowed(r.Host):
			misdirected(w)
		case transports.Serves(path):
			transports.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/v1/"):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	})
}

// misdirected answers who has called by a name that is none of the server's.
func misdirected(w http.ResponseWriter) {
	e := message.Errorf(message.Forbidden, "this server is not called by that name (Host); add it to server.hosts")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMisdirectedRequest)
	_, _ = w.Write(append(protocol.AppendError(nil, 0, e), '\n')) // a peer that has gone does not read it
}

// attend serves operators on their own listeners, so that no public port has what
// is theirs. writing bounds how long an answer may take, 0 not at all.
func (d *Daemon) attend(name string, h http.Handler, writing time.Duration, listeners []net.Listener) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: writing,
		MaxHeaderBytes: 16 << 10,
	}
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				d.log.WithError(err).Errorf("the %s listener has failed", name)
			}
		})
	}
	d.stop.add(name, func(ctx context.Context) error {
		err := d.within(ctx, opsTime, server.Shutdown, server.Close)
		serving.Wait()
		return err
	})
}
