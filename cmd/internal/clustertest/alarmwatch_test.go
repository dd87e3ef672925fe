package clustertest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// alarmWatch looks at all nodes for what only damage may cause, and counts what
// was checked.
type alarmWatch struct {
	c      *Cluster
	alarms []string
	events map[string]uint64          // the last that was seen, by node
	proofs map[uint32][]time.Time     // of each group, one after the other
	now    map[string]gateway.Checked // of the processes that run, by node
	ended  gateway.Checked            // of processes that have ended
	parts  uint64                     // that scrubs have read to their end, in processes that run
}

func newAlarmWatch(c *Cluster) *alarmWatch {
	return &alarmWatch{c: c, events: make(map[string]uint64), proofs: make(map[uint32][]time.Time), now: make(map[string]gateway.Checked)}
}

func (w *alarmWatch) alarm(node, format string, args ...any) {
	const most = 40 // the first are the ones that tell
	if len(w.alarms) < most {
		w.alarms = append(w.alarms, node+": "+fmt.Sprintf(format, args...))
	}
}

// look is to be called more often than a group is checked.
func (w *alarmWatch) look() {
	w.parts = 0
	for _, i := range w.c.Up() {
		name, n := w.c.nodes[i].Name, w.c.nodes[i].Node()
		w.lookAtEvents(name, n.Gateway())
		own := n.Gateway().Own()
		for _, state := range []string{api.ReplicaSuspect, api.ReplicaDisputed, api.ReplicaQuarantined} {
			if k := own.Proving.States[state]; k > 0 {
				w.alarm(name, "%d replicas are %s", k, state)
			}
		}
		for _, j := range own.Jobs {
			if j.Kind == api.JobRepair {
				w.alarm(name, "a job of kind repair: %s, %s", j.ID, text(j.Reason))
			}
		}
		if p := own.Proving; p.Mismatches+p.Repaired+p.RepairsFailed+p.ScrubBad+p.ReadsElsewhere > 0 {
			w.alarm(name, "%+v", p)
		}
		w.parts += own.Proving.ScrubParts
		w.count(name, own.Proving.Checked)
		for group, at := range own.Proofs {
			if all := w.proofs[group]; len(all) == 0 || all[len(all)-1].Before(at.Time) {
				w.proofs[group] = append(all, at.Time)
			}
		}
	}
}

func (w *alarmWatch) lookAtEvents(name string, g *gateway.Gateway) {
	events, _ := g.Events(w.events[name])
	for _, e := range events {
		w.events[name] = e.ID
		bad := e.Kind == api.EventFinding || e.Kind == api.EventRepair
		if e.Kind == api.EventReplica {
			bad = slices.ContainsFunc([]string{api.ReplicaSuspect, api.ReplicaDisputed, api.ReplicaQuarantined}, func(state string) bool {
				return strings.Contains(e.Text, "is "+state)
			})
		}
		if bad {
			w.alarm(name, "event %s of %s: %s", e.Kind, e.Node, e.Text)
		}
	}
}

// count adds up over restarts, which begin anew.
func (w *alarmWatch) count(name string, now gateway.Checked) {
	if was := w.now[name]; now.Made < was.Made {
		w.ended.Made, w.ended.Skipped = w.ended.Made+was.Made, w.ended.Skipped+was.Skipped
	}
	w.now[name] = now
}
