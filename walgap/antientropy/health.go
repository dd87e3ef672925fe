package antientropy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Level is how a cluster is. The numbers are exit codes.
type Level uint8

// The levels.
const (
	OK Level = iota
	Warning
	Critical
	Unknown
)

var levelNames = [...]string{OK: "ok", Warning: "warning", Critical: "critical", Unknown: "unknown"}

// String is the name that `flotilla check` prints.
func (l Level) String() string { return nameOf(levelNames[:], uint8(l), "level") }

// How old a proof or a scrub may be, in intervals. One more than the interval itself is for a check that was skipped
// and is made again.
const (
	warnIntervals     = 2
	criticalIntervals = 6
	healthNames       = 8 // groups or nodes that a line names
)

// The states that the API names.
const (
	stateReady       = "ready"
	stateSyncing     = "syncing"
	stateSuspect     = "suspect"
	stateDisputed    = "disputed"
	stateQuarantined = "quarantined"
	stateOffline     = "offline"
)

// GroupHealth is what the tables say of one group.
type GroupHealth struct {
	Group    uint32
	Led      bool
	Proof    time.Time // zero: never, as far as anybody knows
	Scrub    time.Time // the oldest of its replicas; zero: never
	Created  time.Time // ages count from it while there is no proof; zero: not known, then a missing proof is no fault
	Replicas []ReplicaHealth
}

// ReplicaHealth is one replica, with the state that the API names.
type ReplicaHealth struct {
	Node, State, Why string
	Voter            bool
}

// NodeHealth is one node, with the state that the API names.
type NodeHealth struct{ Name, State string }

// Assessment is the answer of `flotilla check`.
type Assessment struct {
	Level Level
	Lines []HealthLine // the worst first; one a kind of trouble, or one that says that all is well
}

// HealthLine is one line.
type HealthLine struct {
	Level  Level
	Check  string // leader, lost, majority, replicas, nodes, proof, scrub, disputed, quarantined, suspect, syncing; all: when well
	Text   string
	Groups []uint32 // all that it is about, in order
	Nodes  []string
}

// String is the line as it is printed.
func (l HealthLine) String() string { return l.Level.String() + ": " + l.Text }

// Assess turns ages and states into a verdict. It is pure.
//
// Critical: a group without a leader, or (lost) with no replica left that could lead: nothing brings that back by itself,
// so that nothing else is said of its replicas; one with less than a majority of its voters ready; a disputed replica; a proof or a
// scrub older than six intervals. Warning: a node that is not up (what is drained is meant not to be), a replica that is
// offline, syncing, suspect or quarantined; a proof or a scrub older than two intervals. A cluster of which nothing is
// known is unknown.
func Assess(now time.Time, s Settings, groups []GroupHealth, nodes []NodeHealth) Assessment {
	if len(nodes) == 0 {
		return Assessment{Unknown, []HealthLine{{Level: Unknown, Check: "nodes", Text: "no node is known"}}}
	}
	d := diagnosis{lines: map[string]*HealthLine{}}
	for _, n := range nodes {
		switch n.State {
		case "up", "draining", "drained":
		default:
			d.node(Warning, "nodes", n)
		}
	}
	for i := range groups {
		d.group(now, s, &groups[i])
	}
	a := Assessment{Lines: d.all()}
	if len(a.Lines) == 0 {
		text := fmt.Sprintf("%d groups on %d nodes, all replicas ready", len(groups), len(nodes))
		if s.Enabled && len(groups) > 0 {
			text += ", proofs and scrubs in time"
		}
		a.Lines = []HealthLine{{Check: "all", Text: text}}
	}
	a.Level = a.Lines[0].Level
	return a
}

// diagnosis gathers the lines, by check and level.
type diagnosis struct{ lines map[string]*HealthLine }

// what a line says of the things that it lists.
var complaints = map[string]string{
	"leader": "without a leader", "lost": "with no replica left that could lead: put data back from a backup (`flotilla group ID` says more)", "majority": "with less than a majority of ready voters", "nodes": "not up",
	"proof": "not proven equal for too long", "scrub": "not read again for too long", "disputed": "disputed: no majority can say who is wrong",
	"quarantined": "quarantined: a full copy is due", "suspect": "suspect: a repair is due", "syncing": "syncing", "replicas": "offline",
}

func (d *diagnosis) line(level Level, check string) *HealthLine {
	key := fmt.Sprint(level, check)
	if d.lines[key] == nil {
		d.lines[key] = &HealthLine{Level: level, Check: check}
	}
	return d.lines[key]
}

func (d *diagnosis) node(level Level, check string, n NodeHealth) {
	l := d.line(level, check)
	l.Nodes = append(l.Nodes, n.Name)
}

// group adds what is wrong with one group.
func (d *diagnosis) group(now time.Time, s Settings, g *GroupHealth) {
	note := func(level Level, check string, nodes ...string) {
		l := d.line(level, check)
		if len(l.Groups) == 0 || l.Groups[len(l.Groups)-1] != g.Group {
			l.Groups = append(l.Groups, g.Group)
		}
		for _, n := range nodes {
			if !slices.Contains(l.Nodes, n) {
				l.Nodes = append(l.Nodes, n)
			}
		}
	}
	if !g.Led {
		note(Critical, "leader")
	}
	if g.lost() {
		note(Critical, "lost")
		return
	}
	voters, able := 0, 0
	for _, r := range g.Replicas {
		level, check := replicaTrouble(r.State)
		if check != "" {
			note(level, check, r.Node)
		}
		if r.Voter {
			voters++
			if r.State == stateReady || r.State == stateSuspect || r.State == stateDisputed {
				able++ // it votes
			}
		}
	}
	if voters > 0 && 2*able <= voters {
		note(Critical, "majority")
	}
	if !s.Enabled {
		return
	}
	if level := tooOld(now, g.Proof, g.Created, s.Interval); level != OK {
		note(level, "proof")
	}
	if level := tooOld(now, g.Scrub, g.Created, s.ScrubInterval); level != OK {
		note(level, "scrub")
	}
}

// lost reports whether no replica is left that could lead, or will be when its node is back.
func (g *GroupHealth) lost() bool {
	return !g.Led && len(g.Replicas) > 0 && !slices.ContainsFunc(g.Replicas, func(r ReplicaHealth) bool {
		return r.State != stateQuarantined && (r.Voter || r.State != stateSyncing)
	})
}

// replicaTrouble is what a replica's state means for its cluster. A state that is not known is as bad as offline.
func replicaTrouble(state string) (Level, string) {
	switch state {
	case stateReady:
		return OK, ""
	case stateDisputed:
		return Critical, "disputed"
	case stateSuspect, stateQuarantined, stateSyncing:
		return Warning, state
	case stateOffline:
	}
	return Warning, "replicas"
}

// tooOld judges the age of something that is to happen once in an interval.
func tooOld(now, last, created time.Time, interval time.Duration) Level {
	if last.IsZero() {
		last = created
	}
	if last.IsZero() || interval <= 0 {
		return OK
	}
	switch age := now.Sub(last); {
	case age > criticalIntervals*interval:
		return Critical
	case age > warnIntervals*interval:
		return Warning
	}
	return OK
}

// all are the lines, the worst first.
func (d *diagnosis) all() []HealthLine {
	out := make([]HealthLine, 0, len(d.lines))
	for _, l := range d.lines {
		slices.Sort(l.Groups)
		slices.Sort(l.Nodes)
		l.Text = l.describe()
		out = append(out, *l)
	}
	slices.SortFunc(out, func(a, b HealthLine) int {
		return cmp.Or(cmp.Compare(b.Level, a.Level), cmp.Compare(len(b.Groups), len(a.Groups)), strings.Compare(a.Check, b.Check))
	})
	return out
}

// describe is the text of a line: how many, what, and the first of them.
func (l *HealthLine) describe() string {
	what := complaints[l.Check]
	if len(l.Groups) == 0 {
		return fmt.Sprintf("%s %s: %s", count(len(l.Nodes), "node"), what, some(l.Nodes))
	}
	subject := count(len(l.Groups), "group")
	if len(l.Nodes) > 0 {
		subject = fmt.Sprintf("%s with replicas", subject)
		what += " on " + some(l.Nodes)
	}
	return fmt.Sprintf("%s %s: %s", subject, what, some(l.Groups))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// some are the first of a list.
func some[T any](list []T) string {
	var parts []string
	for i, x := range list {
		if i == healthNames {
			parts = append(parts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		parts = append(parts, fmt.Sprint(x))
	}
	return strings.Join(parts, ", ")
}
