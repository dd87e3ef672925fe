package clustertest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage/bytemap"
	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	// classGroups are damaged at the same time, one byte each.
	classGroups = min(66, totalGroups/2)
	// What lies in each of them: enough for several levels of pages.
	classDevices, classWindows, classPoints = 6, 4, 12
	// soakRounds of them are made in make soak: more than 500 bytes.
	soakRounds = 8
	// writtenAtOnce bounds the points of one write.
	writtenAtOnce = 3000
)

// classScene is three nodes with groups whose files have every class of bytes.
type classScene struct {
	*rotScene
	t        *testing.T
	groups   []uint32
	want     map[string]map[int64]string // by device and time
	random   *rand.Rand
	before   map[uint32][]digest.Entry // what all replicas of a group hold
	harmless map[string]bool           // what of earlier rounds is still listed
}

func newClassScene(t *testing.T, groups int, tune func(int, *config.Config)) *classScene {
	t.Helper()
	s := &classScene{rotScene: &rotScene{Cluster: StartNew(t, 3, tune)}, t: t, want: make(map[string]map[int64]string),
		random: rand.New(rand.NewPCG(11, 12)), before: make(map[uint32][]digest.Entry), harmless: make(map[string]bool)}
	for group := range uint32(groups) {
		s.groups = append(s.groups, group*uint32(totalGroups/groups))
	}
	s.fill()
	s.flush()
	s.verify(t, api.VerifyRequest{}) // all digests are known
	s.flush()
	for _, group := range s.groups {
		s.before[group] = s.holds(0, group)
	}
	return s
}

// fill writes points to all groups.
func (s *classScene) fill() {
	s.t.Helper()
	devices := make(map[uint32]int)
	var points []client.Point
	for i, full := 0, 0; full < len(s.groups); i++ {
		series := client.Series{Database: database, Collection: collection, Device: fmt.Sprintf("class-%d", i)}
		group := groupOf(series.Device)
		if !slices.Contains(s.groups, group) || devices[group] == classDevices {
			continue
		}
		if devices[group]++; devices[group] == classDevices {
			full++
		}
		s.want[series.Device] = make(map[int64]string)
		for n := range classWindows * classPoints {
			at := int64(n/classPoints)*24*int64(time.Hour) + int64(n%classPoints)
			points = append(points, s.point(series, at))
		}
	}
	s.write(points)
}

// point makes a point whose text is said once.
func (s *classScene) point(series client.Series, at int64) client.Point {
	text := fmt.Sprintf("%s-%016x%016x%016x", series.Device, s.random.Uint64(), s.random.Uint64(), s.random.Uint64())
	s.want[series.Device][at] = text
	return client.Point{Series: series, Time: at, Fields: []client.Field{{Name: "text", Value: client.Text(text)}}}
}

func (s *classScene) write(points []client.Point) {
	s.t.Helper()
	for batch := range slices.Chunk(points, writtenAtOnce) {
		ctx, cancel := context.WithTimeout(s.t.Context(), opTimeout)
		_, err := s.Client().Write(ctx, batch)
		cancel()
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// flush brings all replicas to one place, which is also what their files hold.
func (s *classScene) flush() {
	s.t.Helper()
	s.awaitLevel()
	for i := range s.nodes {
		for _, group := range s.groups {
			g, ok := s.Group(i, group)
			if !ok || g.Shard() == nil {
				s.t.Fatalf("group %d does not run on %s", group, s.nodes[i].Name)
			}
			if _, err := g.Shard().Flush(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// unchanged makes sure that a replica holds what all held in the beginning.
func (s *classScene) unchanged(what string, node int, group uint32) {
	s.t.Helper()
	if got := s.holds(node, group); !slices.Equal(got, s.before[group]) {
		s.t.Errorf("%s: group %d on %s holds other bytes than before: %d leaves, %d before", what, group, s.nodes[node].Name, len(got), len(s.before[group]))
	}
}

func (s *classScene) path(node int, group uint32) string {
	return filepath.Join(s.nodes[node].Config.DataDir, "groups", fmt.Sprint(group), "shard.db")
}

// spoil is one damage.
type spoil struct {
	group uint32
	node  int
	class string
	at    int
	flip  byte
}

func (d *spoil) String() string {
	return fmt.Sprintf("%s, byte %d of group %d ^ %#x", d.class, d.at, d.group, d.flip)
}

func (d *spoil) live() bool { return !slices.Contains(bytemap.Harmless, d.class) }

// damageAll damages one replica of each group, of all classes in turn, under the
// open files: on a leader or a follower, as it comes.
func (s *classScene) damageAll(node func(int) int) []spoil {
	s.t.Helper()
	s.flush()
	var all []spoil
	hit := make(map[string]int)
	for i, group := range s.groups {
		d := spoil{group: group, node: node(i), flip: byte(1 + s.random.IntN(255))}
		b, err := os.ReadFile(s.path(d.node, group))
		if err != nil {
			s.t.Fatal(err)
		}
		classes, err := bytemap.Of(b)
		if err != nil {
			s.t.Fatalf("group %d on %s: %v", group, s.nodes[d.node].Name, err)
		}
		names := slices.Sorted(maps.Keys(classes))
		slices.SortStableFunc(names, func(a, b string) int { return hit[a] - hit[b] }) // what was hit least
		for _, name := range names {
			if len(classes[name]) > 0 {
				d.class = name
				break
			}
		}
		hit[d.class]++
		d.at = classes[d.class][s.random.IntN(len(classes[d.class]))]
		overwrite(s.t, s.path(d.node, group), int64(d.at), []byte{b[d.at] ^ d.flip})
		all = append(all, d)
	}
	for _, must := range []string{"newest meta", "older meta", "freelist head", "freelist id", "free page", "branch head", "branch element", "branch key",
		"leaf head", "leaf element", "block key", "block value", "block CRC", "digest key", "digest value", "digest CRC", "inline bucket", "bucket root"} {
		if hit[must] == 0 {
			s.t.Errorf("no file has a %s: %v", must, hit)
		}
	}
	return all
}

// reads reads everything through each node: values are right, and all are there.
func (s *classScene) reads(when string) {
	s.t.Helper()
	for i := range s.nodes {
		got := make(map[string]int)
		q := client.Query{Database: database, Collection: collection}
		err := s.Client(i).Query(s.t.Context(), q, func(device string, c *client.Columns) error {
			for row, at := range c.Times {
				if v, _ := c.Lookup(row, "text"); v.Str != s.want[device][at] {
					s.t.Errorf("%s: %s serves %q of %s at %d", when, s.nodes[i].Name, v.Str, device, at)
				}
			}
			got[device] += c.Len()
			return nil
		})
		if err != nil {
			s.t.Errorf("%s: read through %s: %v", when, s.nodes[i].Name, err)
			continue
		}
		for device, points := range s.want {
			if got[device] != len(points) {
				s.t.Errorf("%s: %s serves %d of %d points of %s in group %d", when, s.nodes[i].Name, got[device], len(points), device, groupOf(device))
			}
		}
	}
}

func place(f api.Finding) string { return fmt.Sprint(f.GroupID, f.Node, f.Detail) }

// told reports whether a check, or what it did, names the damaged replica.
func (s *classScene) told(r *api.VerifyResult, group uint32, node int) (names bool, others []api.Finding) {
	name := s.nodes[node].Name
	for _, f := range r.Findings {
		switch {
		case f.GroupID != group:
		case s.harmless[place(f)]:
		case f.Node != name:
			others = append(others, f)
		case f.Verdict != api.FoundHarmless:
			names = true
		}
	}
	for _, u := range r.Unchecked {
		for reason := range strings.SplitSeq(u.Reason, "; ") { // it could not even say its root; to stand elsewhere is no damage
			names = names || u.GroupID == group && strings.HasPrefix(reason, name+":") && !strings.Contains(reason, "at different places")
		}
	}
	return names, others
}

// foundByACheck has everything read where it lies, with nothing in the log and
// nothing repaired: what is damaged is named, all of it, and nobody else.
func (s *classScene) foundByACheck(all []spoil) {
	s.t.Helper()
	r := s.verify(s.t, api.VerifyRequest{Mode: api.ModeVerify, Deep: true})
	for i := range all {
		d := &all[i]
		names, others := s.told(&r, d.group, d.node)
		if names != d.live() || len(others) > 0 {
			s.t.Errorf("%s on %s (live: %v): named %v, others %+v", d, s.nodes[d.node].Name, d.live(), names, others)
		}
		listed := slices.ContainsFunc(r.Findings, func(f api.Finding) bool {
			return f.GroupID == d.group && f.Kind == api.FindingFree && f.Verdict == api.FoundHarmless && f.Action == api.ActionHarmless
		})
		if want := !d.live() && !slices.Contains(bytemap.Mute, d.class); want && !listed {
			s.t.Errorf("%s is not listed as harmless", d)
		}
	}
	for _, f := range r.Findings {
		if !slices.ContainsFunc(all, func(d spoil) bool { return d.group == f.GroupID }) {
			s.t.Errorf("nothing was damaged: %+v", f)
		}
	}
}

// repaired has everything repaired from the majority, and makes sure that it is.
func (s *classScene) repaired(all []spoil) {
	s.t.Helper()
	r := s.verify(s.t, api.VerifyRequest{Deep: true, Repair: true})
	for n := 0; r.ExitCode() != 0 && n < 2; n++ { // a replica that a job mends by itself may be away just now
		r = s.verify(s.t, api.VerifyRequest{Deep: true, Repair: true})
	}
	if r.ExitCode() != 0 {
		s.t.Errorf("not repaired: %+v, %+v", r.Findings, r.Unchecked)
	}
	r = s.verify(s.t, api.VerifyRequest{Deep: true})
	if r.GroupsEqual != len(s.groups) || slices.ContainsFunc(r.Findings, func(f api.Finding) bool { return f.Verdict != api.FoundHarmless }) {
		s.t.Errorf("afterwards: %+v", r)
	}
	for _, f := range r.Findings {
		s.harmless[place(f)] = true
	}
	for i := range all {
		for n := range s.nodes {
			s.unchanged(all[i].String(), n, all[i].group)
		}
	}
	for i := range s.nodes {
		for _, group := range s.groups {
			if g, ok := s.Group(i, group); !ok || g.Status().State.String() != api.ReplicaReady {
				s.t.Errorf("group %d on %s is %v: %s", group, s.nodes[i].Name, g.Status().State, g.Status().Why)
			}
		}
	}
	s.reads("after the repair")
	if _, err := s.CompareRoots(); err != nil {
		s.t.Error(err)
	}
}

// repairs counts the jobs of copies and repairs.
func (s *classScene) repairs() int {
	jobs, _, err := s.nodes[0].Node().Gateway().ListJobs(s.t.Context(), gateway.JobFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(slices.DeleteFunc(jobs, func(j api.Job) bool { return j.Kind != api.JobRepair && j.Kind != api.JobResync }))
}

// A byte of every class goes bad on nodes that run, one in each of many groups at
// once, on leaders and followers: a deep check finds all that matters and blames
// nobody else, no node ever serves a wrong value, and the others' bytes bring
// everything back.
func TestDamageOfEveryClassIsFoundAndMended(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := newClassScene(t, classGroups, nil)
		hidden := s.hideSeries(s.groups[0]) // and nobody has checked it
		s.reads(hidden.String())
		s.repaired([]spoil{hidden})
		for round := range min(times(t), soakRounds) {
			s.awaitLevel() // who has not heard yet what is committed cannot be compared
			all := s.damageAll(func(int) int { return s.random.IntN(3) })
			s.foundByACheck(all)
			s.reads("found")
			s.repaired(all)
			t.Logf("round %d: %d groups, %d jobs so far", round, len(all), s.repairs())
		}
	})
}

// swaps are what can become of a file as a whole: from another group of the same
// node, and from what it was itself before the last writes.
var swaps = map[string]func(t *testing.T, path string, other, stale []byte){
	"another group's, in place": func(t *testing.T, path string, other, _ []byte) { overwrite(t, path, 0, other) },
	"another group's, renamed":  func(t *testing.T, path string, other, _ []byte) { putInPlace(t, path, other) },
	"stale, in place":           func(t *testing.T, path string, _, stale []byte) { overwrite(t, path, 0, stale) },
	"stale, renamed":            func(t *testing.T, path string, _, stale []byte) { putInPlace(t, path, stale) },
	"cut in half": func(t *testing.T, path string, other, _ []byte) {
		used := strings.LastIndexFunc(string(other), func(r rune) bool { return r != 0 })
		must(t, os.Truncate(path, int64(used/2)))
	},
	"empty":   func(t *testing.T, path string, _, _ []byte) { must(t, os.Truncate(path, 0)) },
	"removed": func(t *testing.T, path string, _, _ []byte) { must(t, os.Remove(path)) },
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// putInPlace gives a file's name to another.
func putInPlace(t *testing.T, path string, b []byte) {
	t.Helper()
	must(t, os.WriteFile(path+".other", b, 0o640))
	must(t, os.Rename(path+".other", path))
}

// swapScene are groups of which each replica on one node is about to become one
// of swaps; half of the groups have no log that reaches back.
type swapScene struct {
	*classScene
	how   []string          // by place in groups
	stale map[uint32][]byte // files of that node, before the last writes
}

const swapNode = 1

func newSwapScene(t *testing.T) *swapScene {
	t.Helper()
	names := slices.Sorted(maps.Keys(swaps))
	s := &swapScene{classScene: newClassScene(t, 4*len(names), nil), stale: make(map[uint32][]byte)}
	for i, group := range s.groups {
		s.how = append(s.how, names[i%len(names)])
		b, err := os.ReadFile(s.path(swapNode, group))
		must(t, err)
		s.stale[group] = b
	}
	var points []client.Point
	for device := range s.want {
		points = append(points, s.point(client.Series{Database: database, Collection: collection, Device: device}, 1000))
	}
	for range 2 { // two commits: of the file that was copied nothing has to be left
		s.write(points)
		s.flush()
	}
	for i, group := range s.groups {
		s.before[group] = s.holds(0, group)
		if i >= len(s.groups)/2 {
			for n := range s.nodes {
				g, _ := s.Group(n, group)
				must(t, g.Trim(t.Context()))
			}
		}
	}
	return s
}

// strike swaps some of the groups' files.
func (s *swapScene) strike(places []int) (all []spoil) {
	s.t.Helper()
	for _, i := range places {
		group := s.groups[i]
		other, err := os.ReadFile(s.path(swapNode, s.groups[(i+1)%len(s.groups)]))
		must(s.t, err)
		swaps[s.how[i]](s.t, s.path(swapNode, group), other, s.stale[group])
		all = append(all, spoil{group: group, node: swapNode, class: s.how[i]})
	}
	return all
}

// awaitOpen waits until the groups of that node are open, or in quarantine.
func (s *swapScene) awaitOpen() {
	s.t.Helper()
	s.Await("its groups are open, or in quarantine", time.Minute, func() string {
		time.Sleep(lookPause)
		for _, group := range s.groups {
			if g, ok := s.Group(swapNode, group); !ok || g.Status().State.String() == api.ReplicaSyncing {
				return fmt.Sprintf("group %d is not", group)
			}
		}
		return ""
	})
}

// A file is swapped for another one, cut short or removed: under a node that has it
// open, and while the node is down.
func TestSwappedFilesAreFoundAndMended(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := newSwapScene(t)
		var open, closed []int
		for i := range s.groups {
			if (i/len(swaps))%2 == 0 {
				open = append(open, i)
			} else {
				closed = append(closed, i)
			}
		}
		all := s.strike(open)
		s.foundByACheck(all)
		s.reads("under an open file")
		s.repaired(all)

		s.Stop(swapNode)
		all = s.strike(closed)
		s.Start(swapNode)
		s.awaitOpen()
		s.reads("while it was down")
		s.repaired(all)

		s.Stop(swapNode) // all of them are gone, and somebody checks before the node has begun to bring anything back
		for _, i := range closed {
			swaps["removed"](s.t, s.path(swapNode, s.groups[i]), nil, nil)
		}
		s.Start(swapNode)
		r := s.verify(t, api.VerifyRequest{Deep: true, Repair: true})
		for _, f := range r.Findings {
			if f.Action == api.ActionFailed {
				t.Errorf("just after the start: %+v", f)
			}
		}
		s.repaired(all)
		t.Logf("%d groups, %d copies and repairs", len(s.groups), s.repairs())
	})
}
