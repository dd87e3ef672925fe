package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// drillPoll is how often the state of a replica is looked at that was damaged.
const drillPoll = 50 * time.Millisecond

// drillWatch takes the times of a drill: the first sign that the cluster knows of
// the damage, be it a finding or a state, and the end of the repair.
type drillWatch struct {
	g           *Gateway
	r           DrillRequest
	after       uint64 // events up to here are older than the damage
	began       time.Time
	onDetection func()

	mu         sync.Mutex
	foundAt    time.Time // guarded by mu
	foundBy    string    // guarded by mu
	repairedAt time.Time // guarded by mu
}

func (g *Gateway) watchDrill(r DrillRequest) *drillWatch {
	w := &drillWatch{g: g, r: r}
	if known, _ := g.Events(0); len(known) > 0 {
		w.after = known[len(known)-1].ID
	}
	return w
}

func (w *drillWatch) detected(at time.Time, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.foundAt.IsZero() {
		w.foundAt, w.foundBy = at, by
		w.onDetection()
	}
}

func (w *drillWatch) isDetected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.foundAt.IsZero()
}

func (w *drillWatch) repaired(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.repairedAt = at
}

// run looks until the damage is detected or ctx ends.
func (w *drillWatch) run(ctx context.Context) {
	for !w.isDetected() {
		w.look(ctx)
		if pause.For(ctx, drillPoll) != nil {
			return
		}
	}
}

func (w *drillWatch) look(ctx context.Context) {
	events, _ := w.g.Events(w.after)
	for i := range events {
		e := &events[i]
		w.after = e.ID
		about := e.GroupID != nil && *e.GroupID == w.r.Group && e.Node == w.r.Node
		if about && (e.Kind == api.EventFinding || e.Kind == api.EventReplica) {
			w.detected(later(e.Time, api.At(w.began)).Time, e.Text)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	to, ok := w.g.cfg.Directory.Table().node(w.r.Node)
	if !ok {
		return
	}
	var report nodeReport
	if err := w.g.askJSON(ctx, to, MethodReport, reportRequest{[]uint32{w.r.Group}}, &report); err != nil {
		return // it is asked again
	}
	if s := statusOf(report, w.r.Group); s != nil && s.Replica.State != api.ReplicaReady {
		w.detected(time.Now(), fmt.Sprintf("the replica is %s: %s", s.Replica.State, s.Replica.Why))
	}
}

// report fills the times in.
func (w *drillWatch) report(r *api.DrillResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.foundAt.IsZero() {
		return
	}
	detection := max(w.foundAt.Sub(w.began), 0).Milliseconds()
	r.Detected, r.DetectedBy, r.DetectionMs = true, w.foundBy, &detection
	if !w.repairedAt.IsZero() {
		repair := max(w.repairedAt.Sub(w.foundAt), 0).Milliseconds()
		r.Repaired, r.RepairMs = true, &repair
	}
}
