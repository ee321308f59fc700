package auth

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/message"
)

// Metrics count logins, over chains that replace one another. Each proof of an identity
// is one, also that of a call which brings a token. They may be used concurrently.
type Metrics struct{ logins *prometheus.CounterVec }

// NewMetrics returns metrics that have counted nothing.
func NewMetrics() *Metrics {
	return &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "orbitd_logins_total", Help: "Proofs of identity, by the authenticator that has decided, and how; none: nobody knew them, or too many wrong ones came before.",
	}, []string{"auth", "outcome"})}
}

var _ prometheus.Collector = (*Metrics)(nil)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { m.logins.Describe(ch) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) { m.logins.Collect(ch) }

// decided counts what an authenticator has said. A nil Metrics counts nothing.
func (m *Metrics) decided(name string, err error) {
	if m == nil {
		return
	}
	outcome := "accepted"
	switch {
	case err == nil:
	case errors.Is(err, ErrDenied) || errors.Is(err, ErrPass) || message.CodeOf(err) == message.Unauthorized:
		outcome = "denied"
	case message.CodeOf(err) == message.RateLimited:
		outcome = "slowed"
	default:
		outcome = "unavailable"
	}
	m.logins.WithLabelValues(name, outcome).Inc()
}

// nobody stands for the authenticator where none has decided.
const nobody = "none"
