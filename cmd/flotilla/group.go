package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func groupVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:      "group",
		Usage:     "one group: its replicas, and what may be done with it",
		ArgsUsage: "ID",
		Subcommands: []*cli.Command{
			{
				Name: "show", ArgsUsage: "ID", Usage: "replicas, indices, log range, roots, last proof, job",
				Flags:       clientFlags(),
				Action:      showGroup,
				Description: "flotilla group 42\nflotilla group 42 -o wide",
			},
			{
				Name: "step-down", ArgsUsage: "ID", Usage: "hand the leadership of a group to another voter",
				Flags:       jobFlags(&cli.StringFlag{Name: "to", Usage: "name of the node that should lead; default: the one that is nearest"}, dryRunFlag()),
				Action:      stepDown,
				Description: "flotilla group step-down 42\nflotilla group step-down 42 --to n2\nflotilla group step-down 42 --dry-run",
			},
			moveVerb(s),
			{
				Name: "trim", ArgsUsage: "ID|--all", Usage: "flush, snapshot, and drop the log up to applied, on every live replica",
				Flags:       jobFlags(&cli.BoolFlag{Name: "all", Usage: "every group that exists"}, dryRunFlag()),
				Action:      trim,
				Description: "flotilla group trim 42\nflotilla group trim --all\nflotilla group trim --all --dry-run\n\nWhat a live replica has not got yet is kept for it. Replicas that are offline are\nnamed and are no failure; they may need a copy when they come back.",
			},
		},
		Description: "flotilla group 42\nflotilla group step-down 42 --to n2\nflotilla group move 42 --from n1 --to n4\nflotilla group trim --all\n\n" +
			"POINTS and BYTES are what a replica has stored: a point that was written twice counts twice until its parts are merged, so\nthat equal replicas may differ in both. Equal roots at one index say that they are equal.",
	}
}

func showGroup(c *cli.Context) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	id, err := groupID(c.Args().First())
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	var g api.Group
	body, err := s.api.Get(c.Context, fmt.Sprintf("/v1/admin/groups/%d", id), nil, &g)
	if err != nil {
		return err
	}
	if f := s.print.format; f == outputTable || f == outputWide {
		if _, err := fmt.Fprint(s.print.w, groupHead(&g, s.jobOf(c.Context, &g))); err != nil {
			return err
		}
	}
	return s.print.print(body, func() (*table, error) { return replicasTable(&g), nil })
}

// jobOf asks for the job of a group; nil where there is none, or nobody tells.
func (s *session) jobOf(ctx context.Context, g *api.Group) *api.Job {
	if g.Job == nil {
		return nil
	}
	j := &api.Job{}
	if _, err := s.api.Get(ctx, jobPath(*g.Job), nil, j); err != nil {
		return nil
	}
	return j
}

// groupHead is what stands above a group's replicas.
func groupHead(g *api.Group, job *api.Job) string {
	leader := pointerCell(g.Leader)
	if g.Leader == nil {
		leader = noLeader + " (" + g.Why + ")"
	}
	text := fmt.Sprintf("group %d: %s, epoch %d, primary %s, replicas %s\nleader %s, term %d, commit %d\nlast proof %s, last scrub %s; %s\njob %s",
		g.GroupID, g.State, g.Epoch, g.PrimaryNode, textCell(strings.Join(g.ReplicaNodes, ",")),
		leader, g.Term, g.CommitIndex, timeCell(g.LastProofAt), timeCell(g.LastScrubAt), rootsOf(g), pointerCell(g.Job))
	if job != nil {
		text += fmt.Sprintf(" of %s: %s", textCell(pointerCell(job.Target)), strings.TrimPrefix(progressOf(job), subjectOf(job)+": "))
	}
	return text + "\n\n"
}

// rootsOf says what the replicas' last roots tell: only those of one index can be compared. A root is remembered by the
// process that told it, and on purpose not kept for the next one, whose files may be others: a replica that has started since
// tells none until it is compared again, and that is said.
func rootsOf(g *api.Group) string {
	at, roots, known := uint64(0), map[string]int{}, 0
	for i := range g.Replicas {
		if r := &g.Replicas[i]; r.Root != nil && r.RootIndex != nil && *r.RootIndex >= at {
			if *r.RootIndex > at {
				at, known = *r.RootIndex, 0
				clear(roots)
			}
			roots[*r.Root]++
			known++
		}
	}
	hint := fmt.Sprintf(" (flotilla verify %d compares them)", g.GroupID)
	switch {
	case known == 0:
		return "no roots yet" + hint
	case len(roots) > 1:
		return fmt.Sprintf("roots DIFFER at %d", at)
	case known == len(g.Replicas):
		return fmt.Sprintf("roots equal on all %s at %d", counted(known, "replica"), at)
	}
	text := fmt.Sprintf("roots equal on %d of %s at %d", known, counted(len(g.Replicas), "replica"), at)
	if started := startedSince(g.Replicas); len(started) > 0 {
		text += fmt.Sprintf(", none told since its start by %s%s", strings.Join(started, ", "), hint)
	}
	return text
}

// startedSince are the nodes whose replicas run and have told no root yet.
func startedSince(replicas []api.Replica) (nodes []string) {
	for i := range replicas {
		if r := &replicas[i]; r.Root == nil && r.State == api.ReplicaReady {
			nodes = append(nodes, r.Node)
		}
	}
	return nodes
}

func replicasTable(g *api.Group) *table {
	t := &table{columns: []column{
		{heading: "NODE"}, {heading: "ROLE"}, {heading: "STATE", colours: stateColours}, {heading: "APPLIED", right: true}, {heading: "LOG"},
		{heading: "LAG", right: true}, {heading: "BYTES", right: true}, {heading: "POINTS", right: true},
		{heading: "ROOT"}, {heading: "AT", right: true}, {heading: "CONTACT", right: true}, {heading: "WHY"},
		{heading: "WHOLE ROOT", wide: true},
	}}
	for _, r := range g.Replicas {
		at, lag := absent, absent
		if r.Lag != nil {
			lag = countCell(*r.Lag)
		}
		if r.RootIndex != nil {
			at = countCell(*r.RootIndex)
		}
		t.add(r.Node, textCell(r.Role), r.State, countCell(r.AppliedIndex), logCell(r.LogFirst, r.LogLast),
			lag, bytesCell(r.Bytes), countCell(r.Points), short(pointerCell(r.Root)), at,
			ageCell(r.LastContactMs), textCell(r.Why), pointerCell(r.Root))
	}
	return t
}

// short shows as much of a root as tells two apart by eye.
func short(root string) string { return root[:min(len(root), 12)] }

func stepDown(c *cli.Context) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	id, err := groupID(c.Args().First())
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	request := apiclient.Request{Method: http.MethodPost,
		Path: fmt.Sprintf("/v1/admin/groups/%d/step-down", id), Body: map[string]string{"to": c.String("to")}}
	if c.Bool("dry-run") {
		return s.showPlan(c.Context, request)
	}
	job, err := startAndWait(c, s, request)
	if err != nil {
		return err
	}
	err = s.print.print(job.body, func() (*table, error) {
		t := jobsTable(api.JobList{Jobs: []api.Job{job.Job}})
		var r api.StepDownResult
		if job.Status == api.StatusDone && json.Unmarshal(job.Result, &r) == nil && r.Already {
			t.verdict = fmt.Sprintf("%s leads group %d already, nothing was done", r.From, r.GroupID)
		}
		return t, nil
	})
	return errorsFirst(err, outcome(&job.Job))
}

func trim(c *cli.Context) error {
	if err := arity(c, 0, 1); err != nil {
		return err
	}
	groups, err := groupArguments(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	path := "/v1/admin/trim"
	if len(groups) == 1 {
		path = fmt.Sprintf("/v1/admin/groups/%d/trim", groups[0])
	}
	request := apiclient.Request{Method: http.MethodPost, Path: path}
	if c.Bool("dry-run") {
		return s.showPlan(c.Context, request)
	}
	job, err := startAndWait(c, s, request)
	if err != nil {
		return err
	}
	if c.Bool("detach") || !job.Final() || job.Status != api.StatusDone {
		return errorsFirst(s.printJob(job), outcome(&job.Job))
	}
	var result api.TrimResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", job.ID, err)
	}
	warnOffline(c.App.ErrWriter, &result)
	return s.print.print(job.body, func() (*table, error) { return trimTable(&result), nil })
}

// warnOffline says what a trim means for replicas that are away, whatever the output is.
func warnOffline(w io.Writer, r *api.TrimResult) {
	groups := map[string]int{}
	for _, o := range r.Offline {
		if o.LogFirst != nil {
			groups[o.Node]++
		}
	}
	for _, node := range slices.Sorted(maps.Keys(groups)) {
		fmt.Fprintf(w, "warning: %s is offline: it will need a copy of up to %s when it comes back, for what it lacks is no longer in the log\n",
			node, counted(groups[node], "group"))
	}
}

func errorsFirst(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func trimTable(r *api.TrimResult) *table {
	t := &table{columns: []column{{heading: "GROUP", right: true}, {heading: "NODE"}, {heading: "RESULT"}, {heading: "DETAIL"}},
		verdict: fmt.Sprintf("%s: %s trimmed, %d offline, %d failed", counted(r.Groups, "group"), counted(len(r.Trimmed), "replica"), len(r.Offline), len(r.Failed))}
	if len(r.Held) > 0 {
		t.verdict += fmt.Sprintf("; entries are kept for %s, up, that lack them yet", counted(len(r.Held), "replica"))
	}
	for _, part := range []struct {
		word     string
		replicas []api.TrimReplica
	}{{"trimmed", r.Trimmed}, {"kept for", r.Held}, {"offline", r.Offline}, {"failed", r.Failed}} {
		for _, replica := range part.replicas {
			t.add(countCell(replica.GroupID), replica.Node, part.word, textCell(replica.Detail))
		}
	}
	return t
}

// logCell is the range of a log that may be empty.
func logCell(first, last uint64) string {
	if last == 0 || first > last {
		return absent
	}
	return fmt.Sprintf("%d..%d", first, last)
}
