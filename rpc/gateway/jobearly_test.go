package gateway

import (
	"path/filepath"
	"testing"
)

func TestJobOfAnEarlierProcessIsCancelledBeforeItIsTakenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	before := openedJobs(t, path)
	id := openRow(t, before, 3, func() {}).ID()
	if err := before.close(); err != nil {
		t.Fatal(err)
	}
	js := openedJobs(t, path)
	if !js.cancel(id) {
		t.Fatal("the job is not known")
	}
	left := js.Left()
	if len(left) != 1 {
		t.Fatalf("%+v", left)
	}
	cancelled := 0
	if _, err := js.Open(left[0].Job, left[0].Note, func() { cancelled++ }); err != nil {
		t.Fatal(err)
	}
	if cancelled != 1 {
		t.Errorf("told %d times that it was cancelled", cancelled)
	}
	if err := js.close(); err != nil {
		t.Fatal(err)
	}
}
