package directory

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/raft"
)

// sealedSnapshots are raft's own file snapshots, each with a seal: raft checks
// state.bin by a checksum in meta.json, and meta.json, which says index, term
// and voters, by nothing. What fails is not listed.
//
//	snapshots/TERM-INDEX-MS/   meta.json | state.bin | seal: CRC32C of meta.json, 8 hex digits
//	snapshots-damaged/         the last one that was found bad
//
// A snapshot without a seal is of an older version, or of a crash before the
// seal: it is sealed when it was read whole.
type sealedSnapshots struct {
	raft.SnapshotStore
	dir     string
	logger  *slog.Logger
	suspect chan struct{} // capacity 1: one could not be read

	mu   sync.Mutex
	kept keptSnapshot // guarded by mu: the newest, as it was when it was whole
}

// keptSnapshot is a snapshot in memory: a table is small.
type keptSnapshot struct {
	meta    raft.SnapshotMeta // Index 0: there is none
	content []byte
}

func (s *sealedSnapshots) keep(k keptSnapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.meta.Index >= s.kept.meta.Index {
		s.kept = k
	}
}

// rewrite makes the newest snapshot anew if those that are whole end before it.
// Raft would not: it makes none while a change of voters waits, and that may
// wait for the snapshot.
func (s *sealedSnapshots) rewrite(whole uint64, trans raft.Transport) error {
	s.mu.Lock()
	k := s.kept
	s.mu.Unlock()
	if k.meta.Index <= whole {
		return nil
	}
	sink, err := s.Create(k.meta.Version, k.meta.Index, k.meta.Term, k.meta.Configuration, k.meta.ConfigurationIndex, trans)
	if err != nil {
		return fmt.Errorf("make snapshot %s of the meta group anew: %w", k.meta.ID, err)
	}
	if _, err := sink.Write(k.content); err != nil {
		return errors.Join(fmt.Errorf("make snapshot %s of the meta group anew: %w", k.meta.ID, err), sink.Cancel())
	}
	return sink.Close()
}

const (
	snapshotsDir   = "snapshots"
	damagedDir     = "snapshots-damaged"
	sealFile       = "seal"
	unfinishedName = ".tmp" // how names of snapshots in the making end
)

// errSnapshot: a snapshot that is damaged.
var errSnapshot = errors.New("snapshot is damaged")

// openSnapshots opens, or makes, the folder of snapshots in dir.
func openSnapshots(dir string, logger *slog.Logger) (*sealedSnapshots, error) {
	inner, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshot, newRaftLogger(logger))
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	return &sealedSnapshots{SnapshotStore: inner, dir: filepath.Join(dir, snapshotsDir), logger: logger, suspect: make(chan struct{}, 1)}, nil
}

// sealedSink seals and keeps what it has written.
type sealedSink struct {
	raft.SnapshotSink
	store *sealedSnapshots
	kept  keptSnapshot
}

// Write implements raft.SnapshotSink.
func (s *sealedSink) Write(b []byte) (int, error) {
	s.kept.content = append(s.kept.content, b...)
	return s.SnapshotSink.Write(b)
}

// Close implements raft.SnapshotSink.
func (s *sealedSink) Close() error {
	// One that came damaged must not get its place: no start would go on without what it promises.
	if _, err := decodeTable(s.kept.content); err != nil {
		return errors.Join(fmt.Errorf("close snapshot %s of the meta group: %w: %w", s.ID(), errSnapshot, err), s.Cancel())
	}
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	s.store.keep(s.kept)
	return s.store.seal(s.ID())
}

// Create implements raft.SnapshotStore.
func (s *sealedSnapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration,
	configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, c, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &sealedSink{sink, s, keptSnapshot{meta: raft.SnapshotMeta{
		Version: version, ID: sink.ID(), Index: index, Term: term, Configuration: c, ConfigurationIndex: configurationIndex,
	}}}, nil
}

// List implements raft.SnapshotStore.
func (s *sealedSnapshots) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.SnapshotStore.List()
	if err != nil {
		return nil, err
	}
	var whole []*raft.SnapshotMeta
	for _, m := range all {
		if _, err := s.checkSeal(m.ID); err != nil {
			continue
		}
		whole = append(whole, m)
	}
	s.mu.Lock()
	newest := s.kept.meta.Index
	s.mu.Unlock()
	if newest > 0 && (len(whole) == 0 || whole[0].Index < newest) {
		s.doubt()
	}
	return whole, nil
}

// Open implements raft.SnapshotStore.
func (s *sealedSnapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	_, err := s.checkSeal(id)
	if err == nil {
		var m *raft.SnapshotMeta
		var content io.ReadCloser
		if m, content, err = s.SnapshotStore.Open(id); err == nil {
			return m, content, nil
		}
	}
	s.doubt()
	return nil, nil, fmt.Errorf("open snapshot %s of the meta group: %w", id, err)
}

// doubt asks for a scrub.
func (s *sealedSnapshots) doubt() {
	select {
	case s.suspect <- struct{}{}:
	default:
	}
}

func sealOf(meta []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(meta, castagnoli)) }

func (s *sealedSnapshots) seal(id string) error {
	meta, err := os.ReadFile(filepath.Join(s.dir, id, "meta.json"))
	if err == nil {
		err = writeSynced(filepath.Join(s.dir, id, sealFile), []byte(sealOf(meta)))
	}
	if err != nil {
		return fmt.Errorf("seal snapshot %s of the meta group: %w", id, err)
	}
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func (s *sealedSnapshots) checkSeal(id string) (sealed bool, err error) {
	want, err := os.ReadFile(filepath.Join(s.dir, id, sealFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(want) == 0 { // a crash before it was written
		return false, nil
	}
	if err != nil {
		return false, err
	}
	meta, err := os.ReadFile(filepath.Join(s.dir, id, "meta.json"))
	if err == nil && sealOf(meta) != string(want) {
		err = fmt.Errorf("meta.json: %w", errSnapshot)
	}
	return true, err
}

// check reads a snapshot whole.
func (s *sealedSnapshots) check(id string) error {
	sealed, err := s.checkSeal(id)
	if err != nil {
		return err
	}
	m, content, err := s.SnapshotStore.Open(id)
	if err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	b, err := io.ReadAll(io.LimitReader(content, maxSnapshotBytes+1))
	if err = errors.Join(err, content.Close()); err != nil {
		return err
	}
	t, err := decodeTable(b)
	if err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if term, index, ok := snapshotName(id); !ok || m.ID != id || m.Index != index || m.Term != term ||
		t.Index > index || m.Size != int64(len(b)) {
		return fmt.Errorf("meta.json is another's: %w", errSnapshot)
	}
	s.keep(keptSnapshot{*m, b})
	if !sealed {
		return s.seal(id)
	}
	return nil
}

// snapshotName gives what the name of a snapshot says, which no bad byte of a
// file changes.
func snapshotName(id string) (term, index uint64, ok bool) {
	var ms int64
	n, err := fmt.Sscanf(id, "%d-%d-%d", &term, &index, &ms)
	return term, index, n == 3 && err == nil
}

// look checks all snapshots: the index of the newest that is whole, of the
// newest of all, and those that are not whole.
func (s *sealedSnapshots) look() (whole, newest uint64, bad map[string]error, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("look at snapshots of the meta group: %w", err)
	}
	bad = make(map[string]error)
	for _, e := range entries {
		_, index, ok := snapshotName(e.Name())
		if !ok || !e.IsDir() || strings.HasSuffix(e.Name(), unfinishedName) {
			continue
		}
		err := s.check(e.Name())
		if _, gone := os.Stat(filepath.Join(s.dir, e.Name())); errors.Is(gone, fs.ErrNotExist) {
			continue // raft has let it go meanwhile
		}
		newest = max(newest, index)
		var system *fs.PathError
		switch {
		case errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist):
			return 0, 0, nil, err // nobody knows what the disk holds
		case err != nil:
			bad[e.Name()] = err
			continue
		}
		whole = max(whole, index)
	}
	return whole, newest, bad, nil
}

// setAside takes bad snapshots out of raft's sight: it would count them among
// those that it keeps.
func (s *sealedSnapshots) setAside(bad map[string]error) error {
	to := filepath.Join(filepath.Dir(s.dir), damagedDir)
	for id, why := range bad {
		s.logger.Error("a snapshot of the meta group is damaged and set aside, look after the disk", "snapshot", id, "to", to, "err", why)
		err := errors.Join(os.RemoveAll(to), os.Mkdir(to, 0o755), os.Rename(filepath.Join(s.dir, id), filepath.Join(to, id)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("set a damaged snapshot of the meta group aside: %w", err)
		}
	}
	return nil
}
