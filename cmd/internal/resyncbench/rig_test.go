package resyncbench

import (
	"os"
	"testing"
)

// Every scene plays on a real cluster, and leaves equal replicas behind. FLOTILLA_BINARY names the binary that is
// measured, FLOTILLA_SCENE one scene, FLOTILLA_CHECKS plays those of `bench check`.
func TestScenesPlay(t *testing.T) {
	binary := os.Getenv("FLOTILLA_BINARY")
	if binary == "" {
		t.Skip("FLOTILLA_BINARY names no binary")
	}
	report, err := Run(t.Context(), Options{Binary: binary, Dir: t.TempDir(), Bytes: 64 << 20, Runs: 1, Only: os.Getenv("FLOTILLA_SCENE"),
		Checks: os.Getenv("FLOTILLA_CHECKS") != "",
		Say:    t.Logf, Fill: func(int, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range report.Measures {
		t.Logf("%-8s %-40s %10.1f %s %s", m.Scene, m.Name, m.Median, m.Unit, m.Goal)
		if m.Median <= 0 && m.Name != "writes failed during a copy" && m.Name != "write pauses aborted" {
			t.Errorf("%s: nothing was measured", m.Name)
		}
	}
	t.Log(report.Notes)
}
