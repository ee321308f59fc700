package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/tlsconf"
)

// identities loads the certificates that are configured, and whose clients are
// believed; there are none without TLS. A certificate that is out of date does not take the
// place of one from the same file that is in force and good. Where there is none, it is used,
// and loudly told: clients say more of it than of a server that is not there.
func (d *Daemon) identities(c *config.Config) (set tlsconf.Set, err error) {
	if c.TLS.Certificate == "" {
		return set, nil
	}
	for _, pair := range append([]config.Pair{c.TLS.Pair}, c.TLS.Also...) {
		i, err := tlsconf.Load(pair.Certificate, pair.Key)
		if err != nil {
			return set, err
		}
		end, err := i.Until(d.now())
		log := d.log.WithFields(logrus.Fields{"certificate": i.File(), "names": strings.Join(i.Names(), " "), "until": end})
		good := d.goodOf(i.File())
		switch {
		case err == nil:
			log.Info("the certificate is loaded")
		case good != nil:
			log.WithError(err).Warn("the certificate in this file is no good: renew it; the one before stays in use")
			i = good
		default:
			log.WithError(err).Warn("clients will refuse this server's certificate: renew it, and reload")
		}
		set.Identities = append(set.Identities, i)
	}
	if c.TLS.ClientCA != "" {
		set.Clients, err = tlsconf.LoadClients(c.TLS.ClientCA, c.TLS.ClientCRL, c.TLS.ClientRequired)
	}
	return set, err
}

// goodOf returns the certificate in force that was read from a file, if it is valid now;
// else nil.
func (d *Daemon) goodOf(file string) *tlsconf.Identity {
	if d.tls == nil {
		return nil
	}
	for _, i := range d.tls.Identities() {
		if _, err := i.Until(d.now()); err == nil && i.File() == file {
			return i
		}
	}
	return nil
}

// watchTLS has the files of TLS watched from now on. Where others' clients are believed,
// those that are connected are judged again.
func (d *Daemon) watchTLS() {
	if d.tls == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		d.tls.Watch(ctx, tlsconf.WatchOptions{Logger: d.log, Now: d.now, Clients: d.clientsChanged})
	})
	d.stop.add("certificate", func(context.Context) error {
		cancel()
		watching.Wait()
		return nil
	})
}

// clientsChanged has those judged again that came by a certificate.
func (d *Daemon) clientsChanged(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, admin.ApplyTime)
	defer cancel()
	err := d.everybody().RecheckWhere(ctx, func(w *broker.Who) bool {
		for id := range w.Identities() {
			if id.Login != nil && d.certificateEnded(id.Login.ID) {
				return true
			}
		}
		return false
	})
	if err != nil {
		d.log.WithError(err).Error("not all clients could be looked at again")
	}
}

// believe returns the login that a client's certificates stand for.
func (d *Daemon) believe(shown []*x509.Certificate) (auth.Login, error) {
	clients := d.believed()
	if clients == nil {
		return auth.Login{}, errors.New("no client's certificate is believed any more (tls.client_ca)")
	}
	proof, err := clients.Believe(shown, d.now())
	return auth.Login{ID: proof.ID, Ends: proof.Ends}, err
}

// certificateEnded reports whether a login was one by a certificate that is not believed
// any more.
func (d *Daemon) certificateEnded(login string) bool {
	clients := d.believed()
	return tlsconf.IsProof(login) && (clients == nil || !clients.Holds(login))
}

// believed returns whose clients' certificates are; nil: nobody's.
func (d *Daemon) believed() *tlsconf.Clients {
	if d.tls == nil {
		return nil
	}
	return d.tls.Clients()
}

// strict has browsers that came by TLS come by it alone from then on (RFC 6797).
func (d *Daemon) strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hsts := d.Config().TLS.HSTS; hsts > 0 && d.gate.SourceOf(r).Secure {
			w.Header().Set("Strict-Transport-Security", "max-age="+strconv.Itoa(int(hsts/time.Second)))
		}
		next.ServeHTTP(w, r)
	})
}
