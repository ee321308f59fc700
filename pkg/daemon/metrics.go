package daemon

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/metrics"
)

// metrics serves those of all parts.
func (d *Daemon) metrics() (http.Handler, error) {
	parts := []prometheus.Collector{d.reactor, d.hub, d.sessions, d.transport, d.stomp, d.broker, d.logins, &d.reloads, own{d}}
	if counted, ok := d.engine.(prometheus.Collector); ok {
		parts = append(parts, counted)
	}
	return metrics.NewHandler(d.version, d.log, parts...)
}

// own are the metrics of what the configuration in force names. Its names are the only
// ones that are labels.
type own struct{ d *Daemon }

var (
	certificateDesc = prometheus.NewDesc("orbitd_certificate_end_timestamp_seconds", "When a certificate in use ends.", []string{"file"}, nil)
	appConnsDesc    = prometheus.NewDesc("orbitd_app_connections", "Clients that are connected and have a subscription in the application.", []string{"app"}, nil)
	appSessionsDesc = prometheus.NewDesc("orbitd_app_sessions", "The same, with those that are away.", []string{"app"}, nil)
	appStoredDesc   = prometheus.NewDesc("orbitd_app_stored_bytes", "What the application's channels hold.", []string{"app"}, nil)
	appQuotaDesc    = prometheus.NewDesc("orbitd_app_quota", "The bounds of an application that has any, as they are written.", []string{"app", "quota"}, nil)
	disabledDesc    = prometheus.NewDesc("orbitd_apps_disabled", "Applications whose file has an error.", nil, nil)
	poolDesc        = prometheus.NewDesc("orbitd_ldap_connections", "Connections to a directory.", []string{"auth", "kind", "state"}, nil)
	poolLimitDesc   = prometheus.NewDesc("orbitd_ldap_connections_limit", "How many may be in use.", []string{"auth", "kind"}, nil)
)

// Describe implements prometheus.Collector.
func (own) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		certificateDesc, appConnsDesc, appSessionsDesc, appStoredDesc, appQuotaDesc, disabledDesc, poolDesc, poolLimitDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (o own) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c := o.d.Config()
	gauge(disabledDesc, float64(len(c.Disabled)))
	if o.d.tls != nil {
		for _, i := range o.d.tls.Identities() {
			end, _ := i.Until(o.d.now()) // that it has ended is what it is asked for
			gauge(certificateDesc, float64(end.Unix()), i.File())
		}
	}
	for app := range appNames(c) {
		o.app(gauge, app)
	}
	for _, a := range c.Apps {
		quota(gauge, a)
	}
	if members := o.d.asked.Load(); members != nil {
		for _, m := range *members {
			if directory, ok := m.Authenticator.(*ldapauth.Authenticator); ok {
				pools(gauge, m.Name, directory)
			}
		}
	}
}

// A gauge tells one value.
type gauge func(d *prometheus.Desc, v float64, labels ...string)

func (o own) app(tell gauge, name string) {
	connections, sessions := o.d.broker.Used(name)
	tell(appConnsDesc, float64(connections), name)
	tell(appSessionsDesc, float64(sessions), name)
	if meter, ok := o.d.engine.(engine.Meter); ok {
		tell(appStoredDesc, float64(meter.Stored(name)), name)
	}
}

func quota(tell gauge, a config.App) {
	for name, bound := range map[string]int64{
		"connections": int64(a.Quota.Connections), "sessions": int64(a.Quota.Sessions),
		"publish_rate": int64(a.Quota.PublishRate), "stored": a.Quota.Stored,
	} {
		if bound > 0 {
			tell(appQuotaDesc, float64(bound), a.Name, name)
		}
	}
}

func pools(tell gauge, name string, directory *ldapauth.Authenticator) {
	for _, p := range directory.Pools() {
		tell(poolDesc, float64(p.InUse), name, p.Kind, "in_use")
		tell(poolDesc, float64(p.Idle), name, p.Kind, "idle")
		tell(poolLimitDesc, float64(p.Limit), name, p.Kind)
	}
}

// reloads count what became of them, and are the state of the last one.
type reloads struct {
	outcomes *prometheus.CounterVec
	good, at prometheus.Gauge
}

func newReloads() reloads {
	r := reloads{
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orbitd_reloads_total", Help: "Reloads, by what became of them."}, []string{"outcome"}),
		good:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "orbitd_last_reload_successful", Help: "Whether all that the files say is in force since the last reload; 1 before the first."}),
		at:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "orbitd_last_reload_timestamp_seconds", Help: "When the last reload was, or the start."}),
	}
	r.outcomes.WithLabelValues("in_force")
	r.outcomes.WithLabelValues("refused")
	r.good.Set(1)
	return r
}

// Describe implements prometheus.Collector.
func (r *reloads) Describe(ch chan<- *prometheus.Desc) {
	r.outcomes.Describe(ch)
	r.good.Describe(ch)
	r.at.Describe(ch)
}

// Collect implements prometheus.Collector.
func (r *reloads) Collect(ch chan<- prometheus.Metric) {
	r.outcomes.Collect(ch)
	r.good.Collect(ch)
	r.at.Collect(ch)
}

// judged counts a reload.
func (r *reloads) judged(v *admin.Verdict) {
	outcome, good := "refused", 0.0
	if v.InForce {
		outcome = "in_force"
	}
	if v.OK() {
		good = 1
	}
	r.outcomes.WithLabelValues(outcome).Inc()
	r.good.Set(good)
	r.at.Set(float64(v.At.Unix()))
}
