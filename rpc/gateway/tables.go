package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// nodeReport is what a node says of itself.
type nodeReport struct {
	Replicas []ReplicaStatus     `json:"replicas"`
	DiskFree int64               `json:"disk_free"`
	Jobs     map[uint32]string   `json:"jobs"`   // running job of a group
	Proofs   map[uint32]api.Time `json:"proofs"` // last check that found a group equal
	ClockMs  *int64              `json:"clock_ms"`
	failed   error               // why there is none
}

// reportRequest asks a node for its report.
type reportRequest struct {
	Groups []uint32 `json:"groups,omitempty"` // about these alone; none: about all
}

func (g *Gateway) serveReport(_ context.Context, m reportRequest) ([]byte, error) {
	if len(m.Groups) == 0 {
		return json.Marshal(g.report())
	}
	return json.Marshal(g.reportOn(m.Groups))
}

// reportOn is report about some groups.
func (g *Gateway) reportOn(groups []uint32) nodeReport {
	jobs := g.jobs.byGroup()
	r := nodeReport{Replicas: []ReplicaStatus{}, Jobs: map[uint32]string{}, Proofs: g.proofs.of(groups)}
	for _, id := range slices.Sorted(slices.Values(groups)) {
		if group, ok := g.cfg.Host.Group(id); ok {
			r.Replicas = append(r.Replicas, group.Status())
		}
		if job, ok := jobs[id]; ok {
			r.Jobs[id] = job
		}
	}
	return r
}

func (g *Gateway) report() nodeReport {
	r := nodeReport{Replicas: []ReplicaStatus{}, DiskFree: g.cfg.Host.DiskFree(), Jobs: g.jobs.byGroup(), Proofs: g.proofs.all()}
	if offset, known := g.cfg.ClockOffset(); known {
		ms := offset.Milliseconds()
		r.ClockMs = &ms
	}
	for _, id := range g.cfg.Host.Groups() {
		if group, ok := g.cfg.Host.Group(id); ok {
			r.Replicas = append(r.Replicas, group.Status())
		}
	}
	return r
}

// reports asks every node of the table at once, about some groups or (none) all.
// A node that does not answer in time has a report that says so.
func (g *Gateway) reports(ctx context.Context, t *Table, groups ...uint32) map[string]nodeReport {
	call := g.call
	if len(groups) > 0 {
		call = g.gather.call
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	var mu sync.Mutex
	out := make(map[string]nodeReport, len(t.Nodes))
	var wg sync.WaitGroup
	for name, node := range t.Nodes {
		wg.Go(func() {
			var r nodeReport
			if state, _ := g.seen(node); state == membership.NodeDown {
				r.failed = fmt.Errorf("node %s is down", name)
			} else if err := askOver(ctx, call, node.NodeID, MethodReport, reportRequest{groups}, &r); err != nil {
				r = nodeReport{failed: fmt.Errorf("node %s does not answer: %w", name, err)}
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = r
		})
	}
	wg.Wait()
	return out
}

// seen is what this node believes of a node's life.
func (g *Gateway) seen(n membership.Node) (membership.NodeState, time.Duration) {
	if n.NodeID == g.cfg.Self {
		return membership.NodeUp, 0
	}
	return g.cfg.Liveness.Seen(n.NodeID)
}

// Groups gives the rows of all groups that exist, by id.
func (g *Gateway) Groups(ctx context.Context) ([]api.Group, error) {
	t := g.cfg.Directory.Table()
	reports := g.reports(ctx, t)
	out := make([]api.Group, 0, len(t.Assignments))
	for _, id := range slices.Sorted(maps.Keys(t.Assignments)) {
		out = append(out, groupRow(t.Assignments[id], reports))
	}
	return out, nil
}

// Group gives one row.
func (g *Gateway) Group(ctx context.Context, id uint32) (api.Group, error) {
	if err := g.checkGroup(ctx, id); err != nil {
		return api.Group{}, err
	}
	t := g.cfg.Directory.Table()
	return groupRow(t.Assignments[id], g.reports(ctx, t, id)), nil
}

// checkGroup makes sure that a group exists.
func (g *Gateway) checkGroup(ctx context.Context, id uint32) error {
	if _, ok := g.cfg.Directory.Table().Assignments[id]; ok {
		return nil
	}
	if total := g.cfg.Directory.Table().TotalGroups; total > 0 && id >= total {
		return api.E(api.GroupNotFound, fmt.Sprintf("groups are 0 to %d", int64(total)-1), "group %d does not exist", id)
	}
	if err := g.freshTable(ctx); err != nil {
		return err
	}
	if _, ok := g.cfg.Directory.Table().Assignments[id]; !ok {
		return api.E(api.GroupNotFound, "a group is made by the first write to it", "group %d is not in use", id)
	}
	return nil
}

// groupRow joins what the assignment says and what its holders report.
func groupRow(a membership.Assignment, reports map[string]nodeReport) api.Group {
	row := api.Group{
		GroupID: a.Group, State: a.State.String(), Epoch: a.Epoch, PrimaryNode: a.Primary,
		ReplicaNodes: append([]string{}, a.Replicas...), Replicas: []api.Replica{}, UpdatedAt: api.At(a.UpdatedAt),
	}
	var leader *ReplicaStatus
	leaderNode := ""
	names := a.Nodes()
	var scrubs []api.Time       // of the replicas that tell
	for _, r := range reports { // whoever ran the check
		row.LastProofAt = later(row.LastProofAt, r.Proofs[a.Group])
	}
	for _, name := range slices.Sorted(maps.Keys(reports)) { // a replica that is to go is shown too
		if !a.Holds(name) && statusOf(reports[name], a.Group) != nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		r := reports[name]
		if job, ok := r.Jobs[a.Group]; ok && row.Job == nil {
			row.Job = &job
		}
		s := statusOf(r, a.Group)
		if s == nil {
			row.Replicas = append(row.Replicas, missingReplica(name, r))
			continue
		}
		row.Term = max(row.Term, s.Term)
		row.LastProofAt = later(row.LastProofAt, s.LastProofAt)
		if a.Holds(name) {
			scrubs = append(scrubs, s.LastScrubAt)
		}
		if s.Replica.Role == api.RoleLeader && (leader == nil || s.Term > leader.Term) {
			leader, leaderNode = s, name
		}
		replica := s.Replica
		replica.Node = name
		row.Replicas = append(row.Replicas, replica)
		row.CommitIndex = max(row.CommitIndex, s.CommitIndex)
	}
	row.LastScrubAt = oldest(scrubs)
	if leader != nil && leader.Term == row.Term {
		row.Leader, row.CommitIndex = &leaderNode, leader.CommitIndex
	}
	if row.Leader != nil {
		setBehind(row.Replicas, leader.Behind)
	}
	setLag(row.Replicas, row.CommitIndex)
	if row.Leader == nil {
		row.Why = whyNoLeader(row.Replicas, a)
	}
	return row
}

// hintQuarantined is for the only replica of a group: nobody can give it a copy.
const hintQuarantined = " (hint: no other replica can give it a copy: with the node down, put its shard.db back, or its data directory from a backup)"

// ableOf counts the assigned replicas that answer as far as they run, and those that
// can never lead again, of which one says why.
func ableOf(replicas []api.Replica, a membership.Assignment) (answer, lost int, why string) {
	for i := range replicas {
		r := &replicas[i]
		switch {
		case !a.Holds(r.Node):
		case r.State == api.ReplicaQuarantined:
			lost, why = lost+1, r.Why+hintQuarantined
		case r.Lag != nil && r.Role == api.RoleLearner:
			lost, why, answer = lost+1, r.Why, answer+1
		case r.Lag != nil:
			answer++
		}
	}
	return answer, lost, why
}

// whyNoLeader counts the assigned replicas that could vote.
func whyNoLeader(replicas []api.Replica, a membership.Assignment) string {
	assigned := len(a.Nodes())
	answer, lost, why := ableOf(replicas, a)
	switch {
	case assigned == 1 && lost == 1:
		return "its only replica cannot lead: " + why
	case lost == assigned:
		return fmt.Sprintf("none of its %d replicas can lead, each says why (hint: with its node down, put the data directory of one back from a backup)", assigned)
	}
	if answer <= assigned/2 {
		return fmt.Sprintf("%d of %d replicas answer: no quorum", answer, assigned)
	}
	return fmt.Sprintf("%d of %d replicas answer, and none of them leads yet", answer, assigned)
}

func statusOf(r nodeReport, group uint32) *ReplicaStatus {
	i, ok := slices.BinarySearchFunc(r.Replicas, group, func(s ReplicaStatus, id uint32) int { return int(s.Group) - int(id) })
	if !ok {
		return nil
	}
	return &r.Replicas[i]
}

// missingReplica is the row of a holder that reports no such replica.
func missingReplica(name string, r nodeReport) api.Replica {
	out := api.Replica{Node: name, Role: api.RoleFollower, State: api.ReplicaSyncing, Why: "the group is not open on this node yet"}
	if r.failed != nil {
		out.State, out.Why = api.ReplicaOffline, r.failed.Error()
	}
	return out
}

// setBehind puts what the leader knows of replicas into their rows: those that
// its log no longer reaches hold themselves for ready, and those that are being
// added know only why they wait.
func setBehind(replicas []api.Replica, behind map[string]string) {
	for i := range replicas {
		r := &replicas[i]
		switch why := behind[r.Node]; {
		case why == "":
		case r.State == api.ReplicaReady, r.State == api.ReplicaSyncing && r.Why == "":
			r.State, r.Why = api.ReplicaSyncing, why
		case r.State == api.ReplicaSyncing:
			r.Why = why + " (" + r.Why + ")"
		}
	}
}

// setLag counts the entries between what is committed and what a replica has
// applied. No-ops of Raft are never applied: a replica that says that it is
// ready and has the last entry lags by none. That of one that told nothing is
// not known.
func setLag(replicas []api.Replica, commit uint64) {
	for i := range replicas {
		if r := &replicas[i]; r.Lag != nil && commit > r.AppliedIndex && *r.Lag == 0 && r.LogLast < commit {
			lag := commit - max(r.AppliedIndex, r.LogLast)
			r.Lag = &lag
		}
	}
}

func later(a, b api.Time) api.Time {
	if b.After(a.Time) {
		return b
	}
	return a
}

// oldest is the earliest of some times, zero where one of them is: what was not
// read on one node was not read.
func oldest(times []api.Time) (first api.Time) {
	for i, t := range times {
		if i == 0 || t.Before(first.Time) {
			first = t
		}
	}
	return first
}

// Nodes gives the rows of all nodes, by name.
func (g *Gateway) Nodes(ctx context.Context) ([]api.Node, error) {
	t := g.cfg.Directory.Table()
	reports := g.reports(ctx, t)
	out := make([]api.Node, 0, len(t.Nodes))
	for _, name := range slices.Sorted(maps.Keys(t.Nodes)) {
		out = append(out, g.nodeRow(t, t.Nodes[name], reports[name]))
	}
	return out, nil
}

func (g *Gateway) nodeRow(t *Table, n membership.Node, r nodeReport) api.Node {
	state, silent := g.seen(n)
	if r.failed != nil && state == membership.NodeUp {
		state = membership.NodeSuspect
	}
	if state == membership.NodeUp && (n.State == membership.NodeDraining || n.State == membership.NodeDrained) {
		state = n.State
	}
	row := api.Node{
		Name: n.Name, Incarnation: n.Incarnation, State: state.String(), Zone: n.Zone, RPCAddr: n.RPCAddr, HTTPAddr: n.HTTPAddr,
		GossipAddr: n.GossipAddr, Version: n.Version, DiskFree: r.DiskFree, StartedAt: api.At(n.StartedAt), ClockOffsetMs: r.ClockMs,
	}
	if silent >= 0 { // else it was never heard here
		ms := silent.Milliseconds()
		row.LastSeenMs = &ms
	}
	for _, a := range t.Assignments {
		if a.Holds(n.Name) {
			row.Groups++
		}
		if a.Primary == n.Name {
			row.Primaries++
		}
	}
	for i := range r.Replicas {
		row.Bytes += r.Replicas[i].Replica.Bytes
		if r.Replicas[i].Replica.Role == api.RoleLeader {
			row.Leaders++
		}
	}
	return row
}

// NodeGroups gives the rows of the groups that a node should hold.
func (g *Gateway) NodeGroups(ctx context.Context, name string) ([]api.Group, error) {
	t := g.cfg.Directory.Table()
	if _, ok := t.Nodes[name]; !ok {
		return nil, api.E(api.NodeNotFound, "see `flotilla nodes`", "node %q does not exist", name)
	}
	all, err := g.Groups(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(row api.Group) bool { return !t.Assignments[row.GroupID].Holds(name) }), nil
}

// Cluster sums the tables up.
func (g *Gateway) Cluster(ctx context.Context) (api.Cluster, error) {
	t := g.cfg.Directory.Table()
	c := api.Cluster{ClusterID: t.ClusterID, Name: t.ClusterName, TotalGroups: t.TotalGroups, GroupsInUse: len(t.Assignments),
		Nodes: len(t.Nodes), MetaIndex: t.Index, AnsweredBy: g.cfg.Self.Name}
	if t.MetaLeader != "" {
		c.MetaLeader = &t.MetaLeader
	}
	for _, n := range t.Nodes {
		if state, _ := g.seen(n); state == membership.NodeUp {
			c.NodesUp++
		}
	}
	groups, err := g.Groups(ctx)
	for i := range groups {
		if groups[i].Leader != nil {
			c.GroupsLed++
		}
		if groups[i].Healthy() {
			c.GroupsHealthy++
		}
	}
	c.Verdict = fmt.Sprintf("%d/%d groups healthy, %d not in use", c.GroupsHealthy, c.GroupsInUse, int(c.TotalGroups)-c.GroupsInUse)
	return c, err
}

// DeviceGroup says which group holds a device, and why.
func (g *Gateway) DeviceGroup(database, collection, device string) (api.DeviceGroup, error) {
	if err := storage.ValidateSeries(storage.Series{Database: database, Collection: collection, Device: device}); err != nil {
		return api.DeviceGroup{}, invalid(err)
	}
	t := g.cfg.Directory.Table()
	if t.TotalGroups == 0 {
		return api.DeviceGroup{}, api.E(api.NotReady, "retry, here or at another node", "%s", errNoTable)
	}
	input := database + ":" + collection + ":" + device
	h := fnv.New32a()
	_, _ = h.Write([]byte(input)) // never fails
	hash := h.Sum32()
	out := api.DeviceGroup{
		Database: database, Collection: collection, Device: device, HashInput: input, Hash: hash, TotalGroups: t.TotalGroups,
		GroupID: storage.GroupOf(database, collection, device, t.TotalGroups), Nodes: []string{},
	}
	out.Why = fmt.Sprintf("FNV-1a 32 of %q is %d; modulo %d groups it is %d", input, hash, t.TotalGroups, out.GroupID)
	if a, ok := t.Assignments[out.GroupID]; ok {
		out.Exists, out.PrimaryNode, out.Nodes = true, &a.Primary, a.Nodes()
	}
	return out, nil
}
