package storage

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"testing"
)

const goldenStage = "testdata/golden/stage-v1.db.gz"

// goldenCut is a cut of what the golden shard holds.
func goldenCut(t *testing.T) cutCopy {
	t.Helper()
	s := mustOpen(t, testOptions(t))
	points, _ := goldenContents()
	s.Apply([]Entry{{Index: 1, Term: 1, Config: true, Data: []byte("configuration")}})
	apply(t, s, AppendPut(nil, points))
	return copyOf(t, pinCut(t, s, "cut"))
}

// TestStagesOfEveryFormatGoOn: a copy that an older binary began is finished by this one.
func TestStagesOfEveryFormatGoOn(t *testing.T) {
	c, o := goldenCut(t), stageOptions(t)
	if *updateGolden {
		writeGoldenStage(t, c)
	}
	packed, err := os.Open(goldenStage)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	stage := mustStage(t, o)
	if got, err := stage.Leaves(); err != nil || !slices.Equal(got, c.manifest[:len(c.manifest)-1]) {
		t.Fatalf("%v, %v, want all but one of %v", got, err, c.manifest)
	}
	c.fetch(t, stage, c.manifest[len(c.manifest)-1:])
	c.prove(t, Assembly{Stage: stage, Manifest: c.manifest})
	checkInstalled(t, install(t, stage, c), c)
}

func writeGoldenStage(t *testing.T, c cutCopy) {
	t.Helper()
	o := stageOptions(t)
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest[:len(c.manifest)-1])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(raw); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenStage, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLongTextsAreCopiedInTheirBlocks: blocks that end before they are full, since their texts are long, are canonical too.
func TestLongTextsAreCopiedInTheirBlocks(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	long := string(bytes.Repeat([]byte("long text "), 6<<10))
	for i := range 40 {
		apply(t, s, AppendPut(nil, []Point{point("d", int64(i), "s", long+string(rune('a'+i)), "n", i)}))
	}
	c := copyOf(t, pinCut(t, s, "cut"))
	stage := mustStage(t, stageOptions(t))
	c.fetch(t, stage, c.manifest)
	c.prove(t, Assembly{Stage: stage, Manifest: c.manifest})
	if stage.totals.parts < 2 {
		t.Fatalf("%d parts", stage.totals.parts)
	}
	checkInstalled(t, install(t, stage, c), c)
}
