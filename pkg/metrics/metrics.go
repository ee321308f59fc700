// Package metrics serves what the parts of a daemon have counted, in the format of
// Prometheus. Each part keeps its own counts, in its metrics.go; no name of a channel, a
// user or a client is in them, so that their number stays small.
//
// It knows nothing of what is counted.
package metrics

import (
	"fmt"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
)

// inFlight bounds how many ask at a time: each answer takes memory.
const inFlight = 4

// NewHandler serves the parts' metrics, those of the Go runtime and of the process, and
// which build it is. It is an error if two parts have one of the same name.
func NewHandler(version string, log logrus.FieldLogger, parts ...prometheus.Collector) (http.Handler, error) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "orbitd_build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	parts = append(parts, build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, p := range parts {
		if err := registry.Register(p); err != nil {
			return nil, fmt.Errorf("register metrics of %T: %w", p, err)
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: logged{log}, MaxRequestsInFlight: inFlight}), nil
}

// logged is promhttp's Logger.
type logged struct{ log logrus.FieldLogger }

// Println logs an error of a scrape.
func (l logged) Println(v ...any) { l.log.Error(v...) }
