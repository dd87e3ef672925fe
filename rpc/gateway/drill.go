package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// drillReplicas is how many replicas a group must have: with fewer nobody could
	// say which of them was damaged.
	drillReplicas = 3
	// damageTimeout bounds the damaging.
	damageTimeout = 30 * time.Second
	// drillPatience is how long a drill waits for the end of the repair.
	drillPatience = 5 * time.Minute
	// drillPause is the pause between two checks of a drill.
	drillPause = 500 * time.Millisecond
	// drillBlindChecks is how many checks may find nothing before the drill says
	// that the damage was not detected.
	drillBlindChecks = 2
	// maxDrillFindings bounds the findings of a drill's result.
	maxDrillFindings = 100
)

// DrillRequest asks for one replica to be damaged on purpose.
type DrillRequest struct {
	Group uint32 `json:"group"`
	Node  string `json:"node"` // whose replica
	Kind  string `json:"kind"` // of damage; "": bitflip
}

// Drills damages replicas of this node. Damage returns when the damage is in the
// replica's file, and says what was done; ErrRefused: nothing was.
type Drills interface {
	Damage(ctx context.Context, group uint32, kind string) (what string, err error)
}

// Drill starts the job that damages one replica and watches how that is found
// and repaired. It is refused unless all replicas of the group are well.
func (g *Gateway) Drill(ctx context.Context, r DrillRequest) (api.Job, error) {
	if r.Kind == "" {
		r.Kind = api.DrillBitflip
	}
	if !slices.Contains(api.DrillKinds, r.Kind) {
		return api.Job{}, api.E(api.InvalidArgument, strings.Join(api.DrillKinds, ", "), "kind of drill %q is not known", r.Kind)
	}
	if r.Node == "" {
		return api.Job{}, api.E(api.InvalidArgument, "the name of the node whose replica is to be damaged", "node is missing")
	}
	if err := g.checkGroup(ctx, r.Group); err != nil {
		return api.Job{}, err
	}
	t := g.cfg.Directory.Table()
	if _, known := t.Nodes[r.Node]; !known {
		return api.Job{}, api.E(api.NodeNotFound, "see `flotilla nodes`", "node %q does not exist", r.Node)
	}
	if a := t.Assignments[r.Group]; !a.Holds(r.Node) {
		return api.Job{}, api.E(api.InvalidArgument, "it is on "+strings.Join(a.Nodes(), ", "), "node %s holds no replica of group %d", r.Node, r.Group).InGroup(r.Group)
	}
	if _, err := g.mayDrill(ctx, r, ""); err != nil {
		return api.Job{}, err
	}
	return g.jobs.start(api.JobDrill, &r.Group, &r.Node, &r.Kind, func(ctx context.Context, progress func(func(*api.Job))) (any, error) {
		return g.drill(ctx, r, progress)
	})
}

// mayDrill makes sure that every replica of the group is well and that nothing is
// done to one of them; it reports whether the node leads.
func (g *Gateway) mayDrill(ctx context.Context, r DrillRequest, own string) (leads bool, err error) {
	refuse := func(hint, format string, args ...any) error {
		return api.E(api.Conflict, hint, format, args...).InGroup(r.Group)
	}
	row, err := g.Group(ctx, r.Group)
	if err != nil {
		return false, err
	}
	if row.Leader == nil {
		return false, noLeader(r.Group)
	}
	if n := 1 + len(row.ReplicaNodes); n < drillReplicas || len(row.Replicas) != n {
		return false, refuse("a drill needs three: with fewer nobody could say which is the damaged one", "group %d has %d replicas", r.Group, n)
	}
	for i := range row.Replicas {
		if p := &row.Replicas[i]; p.State != api.ReplicaReady || p.Role == api.RoleLearner {
			return false, refuse("wait until all of its replicas are ready", "the replica on %s is %s: %s", p.Node, p.State, p.Why)
		}
	}
	if row.Job != nil && *row.Job != own {
		return false, refuse("wait for its end", "job %s of this group is under way", *row.Job)
	}
	open, silent, err := g.ListJobs(ctx, JobFilter{Kind: api.JobDrill, Group: &r.Group, Statuses: []string{api.StatusQueued, api.StatusRunning, api.StatusStalled}})
	if err != nil {
		return false, err
	}
	open = slices.DeleteFunc(open, func(j api.Job) bool { return own != "" && j.ID == own })
	if len(open) > 0 || len(silent) > 0 {
		return false, refuse("one drill of a group at a time, and none while a node does not answer", "%d drills are under way, %d nodes do not answer", len(open), len(silent))
	}
	return *row.Leader == r.Node, nil
}

// drill damages, checks until the group is equal again, and takes the time.
func (g *Gateway) drill(ctx context.Context, r DrillRequest, progress func(func(*api.Job))) (any, error) {
	stage := func(name string) { progress(func(j *api.Job) { j.Stage = &name }) }
	own := ""
	progress(func(j *api.Job) { own = j.ID })
	stage("damage")
	leads, err := g.mayDrill(ctx, r, own)
	if err != nil {
		return nil, err
	}
	before, err := g.CheckGroup(ctx, r.Group, antientropy.Options{}) // at a cut: every replica has what it should have on its disk
	if err != nil {
		return nil, err
	}
	if !before.Equal {
		return nil, api.E(api.Conflict, "nothing was damaged; see `flotilla verify`", "group %d is not equal on all replicas before the drill: %s", r.Group, before.Unchecked).InGroup(r.Group)
	}
	result := &api.DrillResult{GroupID: r.Group, Node: r.Node, Kind: r.Kind, Leader: leads, Findings: []api.Finding{}}
	w := g.watchDrill(r)
	if result.Damage, err = g.damage(ctx, r); err != nil {
		return nil, err
	}
	w.began = time.Now()
	result.DamagedAt = api.At(w.began)
	g.Note(api.EventDrill, &r.Group, r.Node, "a drill has damaged the replica: %s", result.Damage)
	stage("detect")
	watching, stop := context.WithCancel(ctx)
	w.onDetection = func() { stage("repair") }
	done := make(chan struct{})
	go func() { defer close(done); w.run(watching) }() // awaited below
	err = g.drillChecks(ctx, r, w, result)
	stop()
	<-done
	w.report(result)
	return result, err
}

func (g *Gateway) damage(ctx context.Context, r DrillRequest) (what string, err error) {
	ctx, cancel := context.WithTimeout(ctx, damageTimeout)
	defer cancel()
	to, _ := g.cfg.Directory.Table().node(r.Node)
	what, err = askReplica[string](ctx, g, to, MethodDrill, r)
	if errors.Is(err, ErrRefused) {
		return "", api.E(api.Conflict, "nothing was damaged", "%s", err.Error()).InGroup(r.Group)
	}
	return what, err
}

// drillChecks checks as `verify --deep --repair` does, until the group is equal
// and all of its replicas are ready.
func (g *Gateway) drillChecks(ctx context.Context, r DrillRequest, w *drillWatch, result *api.DrillResult) error {
	blind := 0
	for deadline := time.Now().Add(drillPatience); time.Now().Before(deadline); {
		report, err := g.CheckGroup(ctx, r.Group, antientropy.Options{Deep: true, Repair: true})
		if err != nil {
			return err
		}
		result.Checks++
		for i := range report.Findings {
			if len(result.Findings) < maxDrillFindings {
				result.Findings = append(result.Findings, findingOf(&report.Findings[i]))
			}
		}
		if report.Damaged {
			w.detected(time.Now(), "a check")
		}
		result.Why = report.Unchecked
		if report.Equal && !w.isDetected() {
			if blind++; blind == drillBlindChecks {
				result.Why = "deep checks found all replicas equal"
				return nil
			}
		}
		if report.Equal && w.isDetected() {
			row, err := g.Group(ctx, r.Group)
			if err != nil {
				return err
			}
			if row.Healthy() {
				w.repaired(time.Now())
				result.Why = ""
				return nil
			}
			result.Why = whyUnhealthy(&row)
		}
		if pause.For(ctx, drillPause) != nil {
			return ctx.Err()
		}
	}
	return nil
}

func whyUnhealthy(row *api.Group) string {
	for i := range row.Replicas {
		if p := &row.Replicas[i]; p.State != api.ReplicaReady {
			return fmt.Sprintf("the replica on %s is %s: %s", p.Node, p.State, p.Why)
		}
	}
	return row.Why
}

func (g *Gateway) serveDrill(ctx context.Context, from membership.NodeID, m DrillRequest) ([]byte, error) {
	if g.cfg.Drills == nil {
		return answerOf("", fmt.Errorf("%w: node %s takes no drills", ErrRefused, g.cfg.Self.Name))
	}
	if _, err := g.held(m.Group); err != nil {
		return answerOf("", fmt.Errorf("%w: %w", ErrRefused, err))
	}
	g.logger.Warn("a drill damages a replica of this node on purpose", "group", m.Group, "kind", m.Kind, "from", from.Name)
	return answerOf(g.cfg.Drills.Damage(ctx, m.Group, m.Kind))
}
