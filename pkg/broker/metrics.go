package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// metrics count publishes, whoever refuses them. They may be used concurrently.
type metrics struct {
	stored, duplicate prometheus.Counter
	refused           *prometheus.CounterVec
}

func newMetrics() metrics {
	messages := func(outcome string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "orbitd_published_messages_total", Help: "Messages that were accepted, by whether they were stored before.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		})
	}
	return metrics{
		stored: messages("stored"), duplicate: messages("duplicate"),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "orbitd_refused_publishes_total", Help: "Publishes that were refused, a batch counting as one, by the code that was answered.",
		}, []string{"code"}),
	}
}

func (m *metrics) published(receipts []engine.Receipt, err error) {
	if err != nil {
		m.refused.WithLabelValues(string(message.CodeOf(err))).Inc()
		return
	}
	duplicates := 0
	for i := range receipts {
		if receipts[i].Duplicate {
			duplicates++
		}
	}
	m.stored.Add(float64(len(receipts) - duplicates))
	m.duplicate.Add(float64(duplicates))
}

var _ prometheus.Collector = (*Broker)(nil)

// Describe implements prometheus.Collector.
func (b *Broker) Describe(ch chan<- *prometheus.Desc) {
	b.metrics.stored.Describe(ch)
	b.metrics.duplicate.Describe(ch)
	b.metrics.refused.Describe(ch)
}

// Collect implements prometheus.Collector.
func (b *Broker) Collect(ch chan<- prometheus.Metric) {
	b.metrics.stored.Collect(ch)
	b.metrics.duplicate.Collect(ch)
	b.metrics.refused.Collect(ch)
}
