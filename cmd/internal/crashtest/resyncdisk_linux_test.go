package crashtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// reserveMiB is the disk reserve of these tests.
	reserveMiB = 64
	// tightMiB is above the reserve, but less than what any copy wants to have free beside its leaves.
	tightMiB = 20
	// segmentMiB is what a new directory takes at once: the first segment of the log.
	segmentMiB = 64
	noRoom     = "no room on the disk of the target"
	// leftMiB stays free when a disk is filled under a copy: less than the leaf of fatten.
	leftMiB = 2
)

// A copy onto a disk that is too small: it fails before it writes, or when the disk is full, and says so; the replica
// goes on with what it had, and so do the others of its node. A wiped node is copied when there is room.
func TestResyncOntoAFullDisk(t *testing.T) {
	at, p := smallDisk(t, 600), newPauses(t)
	r := newRig(t, plan{nodes: 3, tag: pausesTag, devices: 30, rate: 300, dataDir: filepath.Join(at, "data"), env: p.env(),
		args: []string{"--storage-disk-reserve", fmt.Sprintf("%dMiB", reserveMiB)}})
	target := r.Processes[0]
	r.resume()
	r.awaitAcks(300)
	fat := r.fatten()
	r.awaitSettled()
	r.pause()

	empty := fill(t, at, reserveMiB+tightMiB)
	r.refusedCopy(target, fat)
	empty()
	r.until("the full node is told that there is room", func() bool { return r.canWrite(target) })
	empty = r.fillsUpMeanwhile(p, at, target, fat)
	r.stillServes(target, fat)
	empty()
	r.until("the node takes writes again", func() bool { return r.canWrite(target) })

	r.wipe(target)
	empty = fill(t, at, reserveMiB+segmentMiB+tightMiB)
	r.wipedCopiesFail(target)
	empty()
	if out, code := r.flotilla("resync", "--all", "--target", target.Name, "--yes"); code != 0 {
		t.Logf("resync with room: exit code %d\n%s", code, out) // some run by themselves
	}
	r.start()
	r.awaitSettled()
	r.resume()
	r.awaitAcks(100)
	r.check("after the wiped disk had room", target)
	r.verify()
	r.sweptClean(target, r.groupIDs())
}

// fatten writes texts of some MiB, which cannot be compressed, to one device, and returns its group.
func (r *rig) fatten() uint32 {
	r.t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	var body strings.Builder
	body.WriteString(`{"points":`)
	for i := range 60 {
		text := make([]byte, 60<<10)
		_, _ = random.Read(text) // never fails
		for k := range text {
			text[k] = 'A' + text[k]&31
		}
		fmt.Fprintf(&body, `%c{"time":%d,"id":"fat","text":%q}`, "[,"[min(i, 1)], i+1, text)
	}
	body.WriteString("]}")
	answer, err := http.Post("http://"+r.Processes[1].HTTPAddr+"/v1/databases/full/collections/c/write/batch", "application/json", strings.NewReader(body.String()))
	must(r.t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, tailBytes))
		r.t.Fatalf("write of %d bytes: status %d: %s", body.Len(), answer.StatusCode, said)
	}
	return storage.GroupOf("full", "c", "fat", totalGroups)
}

// canWrite reports whether a write through a node is taken.
func (r *rig) canWrite(p *fleet.Process) bool {
	status, _ := writeOver(r.t, p, 1)
	return status == http.StatusOK
}

// copyFails begins a full copy of a group and waits for its end, which has to be a failure for want of room.
func (r *rig) copyFails(target *fleet.Process, group uint32, meanwhile func()) {
	r.t.Helper()
	before := r.jobIDs()
	if out, code := r.flotilla("resync", strconv.Itoa(int(group)), "--target", target.Name, "--mode", "full-sync", "--detach", "--yes"); code != 0 {
		r.t.Fatalf("resync: exit code %d\n%s", code, out)
	}
	meanwhile()
	for _, j := range r.finalJobs(target, before, 1) {
		if j.Status != api.StatusFailed || j.Error == nil {
			r.t.Fatalf("a copy without room ended as %s", asJSON(j))
		}
		r.t.Logf("group %d: %s", group, *j.Error)
		if !strings.Contains(*j.Error, noRoom) && !strings.Contains(*j.Error, "no space left on device") {
			r.t.Errorf("the reason is %q", *j.Error)
		}
	}
	r.sweptClean(target, []uint32{group})
}

func asJSON(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}

// refusedCopy: there is less room than a copy wants, and nothing is written.
func (r *rig) refusedCopy(target *fleet.Process, group uint32) {
	r.t.Helper()
	r.copyFails(target, group, func() {})
	r.stillServes(target, group)
}

// fillsUpMeanwhile: the disk fills when a leaf is on its way to it.
func (r *rig) fillsUpMeanwhile(p pauses, at string, target *fleet.Process, group uint32) (empty func()) {
	r.t.Helper()
	midway := stop{resync.Fetch, "fetching"}
	p.set(midway)
	r.copyFails(target, group, func() {
		r.until("the copy has a leaf in memory", func() bool { return p.waiting(midway) })
		empty = fill(r.t, at, leftMiB)
		p.lift()
	})
	return empty
}

// stillServes: the replica has what it had, and so have all others of the node.
func (r *rig) stillServes(target *fleet.Process, group uint32) {
	r.t.Helper()
	if !target.Running() {
		r.t.Fatalf("%s has stopped:\n%s", target.Name, target.Tail(tailBytes))
	}
	r.awaitSettled()
	r.check("with a full disk", target)
	if out, code := r.flotilla("verify", strconv.Itoa(int(group))); code != 0 {
		r.t.Errorf("verify %d: exit code %d\n%s", group, code, out)
	}
}

// wipe kills a node and empties its directory.
func (r *rig) wipe(p *fleet.Process) {
	r.t.Helper()
	must(r.t, p.Kill())
	must(r.t, os.RemoveAll(p.DataDir))
}

// wipedCopiesFail starts a wiped node whose disk is too small for any copy: each group says so, and the others go on.
func (r *rig) wipedCopiesFail(target *fleet.Process) {
	r.t.Helper()
	before := r.jobIDs()
	must(r.t, target.Start())
	r.resume(1, 2)
	var failed []api.Job
	r.until("a copy of the wiped node has failed", func() bool {
		failed = slices.DeleteFunc(r.jobs(), func(j api.Job) bool {
			return before[j.ID] || j.Kind != api.JobResync || j.Target == nil || *j.Target != target.Name || !j.Final()
		})
		return len(failed) > 2
	})
	for _, j := range failed {
		if j.Status != api.StatusFailed || j.Error == nil || !strings.Contains(*j.Error, noRoom) {
			r.t.Errorf("a copy without room ended as %s", asJSON(j))
		}
	}
	group := *failed[0].GroupID
	r.sweptClean(target, []uint32{group})
	r.until("the group says why it is not in sync", func() bool {
		out, code := r.flotilla("group", strconv.Itoa(int(group)))
		return code == 0 && bytes.Contains(out, []byte(noRoom))
	})
	r.awaitAcks(100) // of all groups in turn
	r.check("with a wiped node without room", r.Processes[1:]...)
}

// groupIDs are those of all groups that there are.
func (r *rig) groupIDs() (ids []uint32) {
	for _, g := range r.groups() {
		ids = append(ids, g.GroupID)
	}
	return ids
}
