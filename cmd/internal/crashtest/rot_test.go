package crashtest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// Damage of every kind, on a follower and on a leader, under a steady load: found, judged, repaired from the others, who
// are not blamed; no acked point is missing or wrong afterwards.
func TestRotIsFoundAndRepairedWhileWritesGoOn(t *testing.T) {
	r := newRig(t, plan{nodes: 3, devices: 60, rate: 200})
	r.resume()
	r.awaitAcks(600)
	r.awaitSettled()
	leader := r.Processes[0]
	groups := r.ledBy(leader, len(api.DrillKinds))
	for range rounds(1) {
		for i, kind := range api.DrillKinds {
			victim := r.Processes[1+i%2]
			if i%3 == 0 {
				victim = leader
			}
			r.drill(groups[i], victim, kind)
		}
	}
	r.awaitSettled()
	if out, code := r.flotilla("verify", "--all", "--deep"); code != 0 {
		t.Errorf("verify --deep after all drills: exit code %d\n%s", code, out)
	}
	r.check("after all drills", r.Processes...)

	// A byte of a stored file, overwritten from outside: whatever it belongs to, it is found or harmless, and all is equal
	// in the end.
	group := groups[0]
	path := filepath.Join(r.Processes[1].DataDir, "groups", strconv.Itoa(int(group)), "shard.db")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], info.Size()/2)
	must(t, err)
	b[0] ^= 0x55
	_, err = f.WriteAt(b[:], info.Size()/2)
	must(t, err)
	must(t, f.Close())
	if out, code := r.flotilla("verify", strconv.Itoa(int(group)), "--deep", "--repair"); code != 0 {
		t.Errorf("verify --deep --repair: exit code %d\n%s", code, out)
	}

	// Missing is not equal.
	must(t, r.Processes[2].Kill())
	if out, code := r.flotilla("verify", "--all", "--deep", "--repair"); code != 6 {
		t.Errorf("verify with a node down: exit code %d\n%s", code, out)
	}
	if out, code := r.flotilla("check", "--format", "json"); code == 0 || code == 3 {
		t.Errorf("check with a node down: exit code %d\n%s", code, out)
	}
	if out, code := r.flotilla("drill", "--group", strconv.Itoa(int(group)), "--node", leader.Name, "--yes"); code != 1 {
		t.Errorf("a drill with a node down: exit code %d\n%s", code, out)
	}
	r.start()
	r.awaitSettled()
	r.verify()
}

// drill damages one replica and expects it to be found and repaired, and nobody else to be blamed.
func (r *rig) drill(group uint32, victim *fleet.Process, kind string) {
	r.t.Helper()
	r.until("the group is settled", func() bool {
		i := slices.IndexFunc(r.groups(), func(g api.Group) bool { return g.GroupID == group && g.Healthy() && g.Job == nil })
		return i >= 0
	})
	out, code := r.flotilla("drill", "--group", strconv.Itoa(int(group)), "--node", victim.Name, "--kind", kind, "--yes", "-o", "json")
	var job api.Job
	var result api.DrillResult
	answer := out[max(bytes.IndexByte(out, '{'), 0):] // progress stands before it
	if err := json.NewDecoder(bytes.NewReader(answer)).Decode(&job); err != nil || code != 0 || json.Unmarshal(job.Result, &result) != nil {
		r.t.Fatalf("drill %s of group %d on %s: exit code %d\n%s", kind, group, victim.Name, code, out)
	}
	if slices.ContainsFunc(result.Findings, func(f api.Finding) bool { return f.Node != victim.Name }) {
		r.t.Errorf("drill %s on %s: others are blamed: %+v", kind, victim.Name, result.Findings)
	}
	r.t.Logf("%s on %s (leader: %v): %s: found after %d ms by %q, repaired %d ms later", kind, victim.Name, result.Leader, result.Damage, *result.DetectionMs, result.DetectedBy, *result.RepairMs)
}
