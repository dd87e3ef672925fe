package resync

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDocumentHasEveryStageAndItsBound: docs/RESYNC.md tells operators how long a stage may go without progress.
func TestDocumentHasEveryStageAndItsBound(t *testing.T) {
	text, err := os.ReadFile("../../docs/RESYNC.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) == 3 {
			rows[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[2])
		}
	}
	for _, s := range Stages {
		if want := short(s.Idle); rows[s.Stage.String()] != want {
			t.Errorf("stage %s may be idle for %s, the document says %q", s.Stage, want, rows[s.Stage.String()])
		}
	}
}

// short writes 5m, not 5m0s.
func short(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
