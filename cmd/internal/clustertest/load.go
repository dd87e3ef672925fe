package clustertest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/ledger"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
)

// sink writes a ledger's points through one client, which makes one attempt.
type sink struct{ k *client.Client }

func (s sink) Write(ctx context.Context, points []storage.Point) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	_, err := s.k.Write(ctx, points)
	return err
}

// source reads a ledger's devices back through one client.
type source struct{ k *client.Client }

func (s source) Read(ctx context.Context, of storage.Series, yield func(storage.Point) error) error {
	q := client.Query{Database: of.Database, Collection: of.Collection, Devices: []string{of.Device}}
	return s.k.Query(ctx, q, func(_ string, cols *client.Columns) error {
		for i := range cols.Len() {
			p := storage.Point{Series: of, Time: cols.Times[i]}
			row := maps.Collect(cols.Row(i))
			for _, name := range slices.Sorted(maps.Keys(row)) {
				p.Fields = append(p.Fields, storage.Field{Name: name, Value: row[name]})
			}
			if err := yield(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// NewLedger makes a ledger of devices that lie in nearly all groups.
func (c *Cluster) NewLedger(name string, devices int) *ledger.Ledger {
	plan := ledger.Plan{Database: database, Collection: name, Devices: devices, Start: time.Now(), Step: time.Second}
	return ledger.New(plan, c.nodes[0].Config.Coordinator.TotalGroups)
}

// Load writes to a ledger through every node, so many points a second and so
// many at once, until the returned function is called.
func (c *Cluster) Load(l *ledger.Ledger, callers int, perSecond float64) (end func()) {
	load := ledger.Load{Ledger: l, Callers: callers, Rate: perSecond}
	for i := range c.nodes {
		load.Sinks = append(load.Sinks, sink{c.Client(i)})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// CheckLedger reads everything back through one node.
func (c *Cluster) CheckLedger(l *ledger.Ledger, node int) ledger.Report {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	report, err := l.Check(ctx, source{c.Client(node)})
	if err != nil {
		c.t.Fatalf("read back through %s: %v", c.nodes[node].Name, err)
	}
	if !report.OK() || report.Acked == 0 {
		c.t.Errorf("read back through %s: %v: %q", c.nodes[node].Name, report, report.Examples)
	}
	return report
}
