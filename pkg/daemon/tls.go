package daemon

import (
	"context"
	"strings"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/tlsconf"
)

// identity loads the certificate that is configured, nil if there is none. One
// that is out of date is used, and loudly told: clients say more of it than of a
// server that is not there.
func (d *Daemon) identity(c *config.Config) (*tlsconf.Identity, error) {
	if c.TLS.Certificate == "" {
		return nil, nil
	}
	i, err := tlsconf.Load(c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return nil, err
	}
	end, err := i.Until(d.now())
	log := d.log.WithFields(logrus.Fields{"names": strings.Join(i.Names(), " "), "until": end})
	if err != nil {
		log.WithError(err).Warn("clients will refuse this server's certificate: renew it, and reload")
	} else {
		log.Info("the certificate is loaded")
	}
	return i, nil
}

// serveAs makes the server's side of TLS, and has the certificate's files watched
// from now on.
func (d *Daemon) serveAs(i *tlsconf.Identity) {
	d.tls = tlsconf.NewServer(i)
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { d.tls.Watch(ctx, tlsconf.WatchOptions{Logger: d.log, Now: d.now}) })
	d.stop.add("certificate", func(context.Context) error {
		cancel()
		watching.Wait()
		return nil
	})
}
