// Package metrics shows a node to Prometheus: GET /metrics.
//
// Nouns: the Collector turns what feeds the JSON tables (gateway.Own) into
// metrics at each scrape; it is one collector, so that all of a scrape is of
// one moment. Replicas are this node's own, jobs those that it runs: every node
// is scraped, and sums over the nodes are those of the cluster. A scrape asks
// no other node, so that it answers when the cluster does not.
//
// Names begin with flotilla_, units are seconds and bytes. Labels are bounded:
// group (those of this node), node (those of the cluster), and fixed words;
// ids, names of data and texts are in no label. Nothing here changes the node.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// namespace begins every name.
const namespace = "flotilla"

// scrapesAtOnce bounds the scrapes that are answered side by side.
const scrapesAtOnce = 4

// Source is where the figures come from. Own must not wait for other nodes.
type Source interface {
	Own() gateway.Own
}

// Config is what a Collector is made of; Source is required.
type Config struct {
	Source   Source
	Node     string
	Version  api.Version
	Since    time.Time    // jobs that ended before are not counted: an earlier process did
	LogBytes func() int64 // of the write-ahead log; nil: not told
	Ready    func() bool  // nil: not told
	// Wire is what went to and came from other nodes over the streams of Raft and of
	// the small calls, since the node began, in bytes; nil: not told.
	Wire func() (sent, received uint64)
}

// Collector implements prometheus.Collector.
type Collector struct {
	cfg    Config
	totals *totals
}

// New makes a Collector.
func New(c Config) *Collector {
	return &Collector{cfg: c, totals: newTotals(c.Since)}
}

// Handler answers scrapes, with the figures of the Go runtime and of the process
// beside the Collector's.
func (c *Collector) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesAtOnce, EnableOpenMetrics: true})
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		ch <- d
	}
	c.totals.describe(ch)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	own := c.cfg.Source.Own()
	c.node(ch, &own)
	replicas(ch, &own)
	proving(ch, &own.Proving)
	jobs(ch, own.Jobs)
	c.totals.collect(ch, own.Jobs)
}

// descriptions are those of all but the totals.
var descriptions []*prometheus.Desc

// describe makes one.
func describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	descriptions = append(descriptions, d)
	return d
}

func gauge[T int | int64 | uint64 | float64](ch chan<- prometheus.Metric, d *prometheus.Desc, v T, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds of a moment since 1970.
func seconds(t api.Time) float64 { return float64(t.UnixNano()) / 1e9 }
