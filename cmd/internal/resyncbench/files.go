package resyncbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// playFiles measures what needs no cluster, on the files of nodes that are stopped: what the machine does with the same
// files by itself, comparing, and proving.
func playFiles(ctx context.Context, r *rig, l *ledger) error {
	if err := r.stop(ctx, r.fleet.Processes...); err != nil {
		return err
	}
	rate, err := copyBySystem(ctx, filepath.Join(r.dirs()[0], "groups"))
	switch {
	case errors.Is(err, exec.ErrNotFound):
		l.note("cp, sync and sha256sum: %v", err)
	case err != nil:
		return err
	default:
		l.add("files", "cp, sync and sum", "MB/s", rate)
	}
	var s sums
	for _, group := range allGroups() {
		if err := s.group(ctx, r.dirs()[0], r.target().DataDir, group); err != nil {
			return fmt.Errorf("group %d: %w", group, err)
		}
	}
	l.add("files", "comparison, clean digests", "ms", float64(s.compared.Microseconds())/1000)
	l.add("files", "proof", "MB/s", megabytes(s.bytes)/s.proven.Seconds())
	if s.provenCPU > 0 {
		l.add("files", "proof, a core", "MB/s", megabytes(s.bytes)/s.provenCPU.Seconds())
	}
	if err := r.start(ctx, r.fleet.Processes...); err != nil {
		return err
	}
	return r.settled(ctx)
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

// copyBySystem is the yardstick: cp -r SRC DST && sync -f DST && sha256sum of all files, in MB of files a second.
func copyBySystem(ctx context.Context, from string) (float64, error) {
	for _, tool := range []string{"sh", "cp", "sync", "sha256sum", "find", "xargs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return 0, err
		}
	}
	to, err := os.MkdirTemp(filepath.Dir(filepath.Dir(from)), "cp-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(to)
	const script = `cp -r "$1" "$2/copy" && sync -f "$2/copy" && find "$2/copy" -type f -print0 | xargs -0 sha256sum > "$2/sums"`
	began := time.Now()
	if out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", from, to).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("cp, sync and sha256sum: %w: %s", err, out)
	}
	took := time.Since(began)
	size := int64(0)
	err = filepath.WalkDir(filepath.Join(to, "copy"), func(_ string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return megabytes(size) / took.Seconds(), err
}

// sums are what comparing and proving took, over all groups.
type sums struct {
	compared          time.Duration
	proven, provenCPU time.Duration
	bytes             int64
}

// group does with one group what a job does at its explore and install stages: it lists the leader's leaves, compares
// them with the target's by their stored digests, and proves the leader's view.
func (s *sums) group(ctx context.Context, leaderDir, targetDir string, group uint32) (err error) {
	leader, err := openShard(leaderDir, group)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leader.Close()) }()
	target, err := openShard(targetDir, group)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	theirs, err := leader.Look(ctx)
	if err != nil {
		return err
	}
	defer theirs.Close()
	ours, err := target.Look(ctx)
	if err != nil {
		return err
	}
	defer ours.Close()

	began := time.Now()
	_, manifest, err := theirs.Root(ctx)
	if err != nil {
		return err
	}
	missing, err := storage.Assembly{Base: ours, Manifest: manifest}.Missing(ctx)
	s.compared += time.Since(began)
	if err != nil || len(missing) > 0 {
		return fmt.Errorf("compare: %d leaves differ: %w", len(missing), err)
	}
	for _, e := range manifest {
		s.bytes += int64(e.Bytes)
	}
	began, cpu := time.Now(), cpuTime()
	_, err = theirs.Prove(ctx, []byte("a nonce of the leader's, 32 bytes"))
	s.proven += time.Since(began)
	s.provenCPU += cpuTime() - cpu
	return err
}

// leafBytes is what all leaves of a stopped node hold.
func leafBytes(ctx context.Context, dir string) (sum int64, err error) {
	for _, group := range allGroups() {
		manifest, err := manifestOf(ctx, dir, group)
		if err != nil {
			return 0, fmt.Errorf("group %d: %w", group, err)
		}
		for _, e := range manifest {
			sum += int64(e.Bytes)
		}
	}
	return sum, nil
}

func manifestOf(ctx context.Context, dir string, group uint32) (manifest []digest.Entry, err error) {
	s, err := openShard(dir, group)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v, err := s.Look(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	_, manifest, err = v.Root(ctx)
	return slices.Clip(manifest), err
}
