package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// A list of jobs fits on a screen, whatever a job has to say; wide has all of it.
func TestListOfJobsFitsIntoAScreen(t *testing.T) {
	group, target, stage, verdict, mode := uint32(maxGroupID), "node-03", "explore", "replay", "full-sync"
	why, eta := "the log of the leader n1 begins at 123456 and the replica holds entries up to 99 only", 123.0
	now := api.At(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC))
	var list api.JobList
	idRest := map[string]string{api.JobResync: "-4b71-a2d1-63d068db9eb1"} // a job that outlives its process has a whole UUID
	for i, kind := range []string{api.JobResync, api.JobStepDown, api.JobVerify} {
		list.Jobs = append(list.Jobs, api.Job{ID: fmt.Sprintf("%s-node-03-705ec366-2fe%d", kind, i) + idRest[kind], Kind: kind, GroupID: &group, Target: &target, Mode: &mode, Stage: &stage,
			Verdict: &verdict, Status: api.StatusStalled, Reason: &why, Attempt: 2, BytesDone: 5 << 20, BytesTotal: 9 << 20, Rate: 1 << 20, EtaS: &eta, StartedAt: now, LastProgressAt: now})
	}
	shown := func(format string) string {
		var out bytes.Buffer
		if err := (printer{w: &out, format: format}).table(jobsTable(list)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, line := range strings.Split(shown(outputTable), "\n") {
		if len(line) > 140 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if out := shown(outputTable); !strings.Contains(out, why[:20]) || strings.Contains(out, why) || !strings.Contains(out, "...") {
		t.Errorf("the reason is cut:\n%s", out)
	}
	if out := shown(outputWide); !strings.Contains(out, why) || !strings.Contains(out, "1.00 MiB/s") || !strings.Contains(out, "KIND") || !strings.Contains(out, "2026-11-22T20:00:00Z") {
		t.Errorf("wide has all:\n%s", out)
	}
}

func TestAgesAreShort(t *testing.T) {
	now := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 119 * time.Minute: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		if got := agoCell(api.At(now.Add(-ago)), now); got != want {
			t.Errorf("%s: %s, want %s", ago, got, want)
		}
	}
	if got := agoCell(api.Time{}, now); got != absent {
		t.Errorf("never: %s", got)
	}
}

// Who sees table and error on one terminal reads the verdict once; whoever reads one of them only has it in both.
func TestVerdictIsSaidOnceOnATerminal(t *testing.T) {
	for _, tt := range []struct {
		format         string
		out, err, once bool
	}{
		{outputTable, true, true, true}, {outputWide, true, true, true}, {outputTable, false, true, false}, {outputTable, true, false, false},
		{outputJSON, true, true, false}, {outputName, true, true, false}, {outputCSV, true, true, false},
	} {
		if once := saidBefore(tt.format, tt.out, tt.err); once != tt.once {
			t.Errorf("%+v: %v", tt, once)
		}
	}
}

func TestNumberThatIsNoGroups(t *testing.T) {
	for _, argument := range []string{"70000", "65535", "4096", "-1", "x", ""} {
		if _, err := groupID(argument); err == nil || !strings.Contains(err.Error(), "0 to 4095") || !strings.Contains(err.Error(), "flotilla groups") {
			t.Errorf("%q: %v", argument, err)
		}
	}
	if id, err := groupID("255"); err != nil || id != 255 {
		t.Errorf("%d, %v", id, err)
	}
}
