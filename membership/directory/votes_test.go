package directory

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func openVotes(t *testing.T, path string) (*votes, *logFile) {
	t.Helper()
	file, err := openLogFile(path, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return &votes{file: file, fatal: func(err error) { t.Error(err) }}, file
}

func TestCrashBetweenTermAndCandidateLeavesTheOldVote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	v, file := openVotes(t, path)
	if _, err := v.GetUint64([]byte(keyLastVoteTerm)); err == nil || err.Error() != "not found" {
		t.Fatalf("without a vote: %v: raft knows this text only", err)
	}
	must(t, v.SetUint64([]byte(keyLastVoteTerm), 4))
	must(t, v.Set([]byte(keyLastVoteCand), []byte("n1")))
	must(t, v.SetUint64([]byte(keyLastVoteTerm), 5)) // and here the process dies
	must(t, file.Close())

	v, file = openVotes(t, path)
	term, err := v.GetUint64([]byte(keyLastVoteTerm))
	must(t, err)
	candidate, err := v.Get([]byte(keyLastVoteCand))
	must(t, err)
	if term != 4 || string(candidate) != "n1" {
		t.Fatalf("vote of term %d for %s: nobody was voted for in term 5", term, candidate)
	}
	must(t, file.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	for i := range len(b) - 2 { // the candidate is nowhere else
		if string(b[i:i+2]) == "n1" {
			b[i] ^= 1
		}
	}
	must(t, os.WriteFile(path, b, 0o600))
	if _, err := openLogFile(path, slog.New(slog.DiscardHandler)); !errors.Is(err, ErrStateLost) {
		t.Fatalf("a damaged record: %v", err)
	}
}
