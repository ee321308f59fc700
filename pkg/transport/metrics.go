package transport

import "github.com/prometheus/client_golang/prometheus"

// A kind is a transport.
type kind int

// The kinds.
const (
	webSocketKind kind = iota
	streamKind
	sseKind
	pollKind
	transports // how many there are
)

// String returns the kind as metrics name it.
func (k kind) String() string {
	return [transports]string{"websocket", "stream", "sse", "poll"}[k]
}

func (*websocket) kind() kind { return webSocketKind }

func (d *down) kind() kind {
	_, isLines := d.shape.(lines)
	switch {
	case d.hold != nil:
		return pollKind
	case isLines:
		return streamKind
	}
	return sseKind
}

var _ prometheus.Collector = (*Server)(nil)

// connectionsDesc is a metric that STOMP has, too.
func (k kind) connectionsDesc() *prometheus.Desc {
	return prometheus.NewDesc("orbitd_connections", "Clients that are connected, by transport; STOMP over WebSocket is stomp.", nil, prometheus.Labels{"transport": k.String()})
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	for k := range transports {
		ch <- k.connectionsDesc()
	}
}

// Collect implements prometheus.Collector. What it tells is a tick old at most.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	for k := range transports {
		n := int64(0)
		for _, p := range s.parts {
			n += p.tally[k].Load()
		}
		ch <- prometheus.MustNewConstMetric(k.connectionsDesc(), prometheus.GaugeValue, float64(n))
	}
}
