package raftmux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot of the meta group travels as a request, then chunks, each
// acknowledged when Raft has read the one before: memory stays at two chunks,
// and the stream's other frames pass between.

var errSnapshotAborted = errors.New("snapshot ended early")

// sendSnapshot sends a snapshot of the meta group.
func (t *Transport) sendSnapshot(target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	r, s, err := t.begin(target, time.Now().Add(t.mux.timings.RaftDeadline))
	if err != nil {
		return err
	}
	t.mux.observeSnapshot(t.group)
	step := t.mux.timings.SnapshotStep
	install := &pending{owner: t, answer: resp, from: r.address, done: make(chan struct{})}
	frame := outFrame{class: classNormal, lane: laneSnapshot}
	id, err := s.request(install, frame, func(dst []byte, id uint64) []byte {
		return appendSnapshot(dst, t.header(r, id), args)
	})
	if err != nil {
		return err
	}
	if err := t.sendChunks(s, install, id, io.LimitReader(data, args.Size), args.Size); err != nil {
		if s.remove(id) == nil {
			<-install.done // Raft has answered: that counts, not a chunk that it no longer wanted
			return install.err
		}
		s.sender.add(outFrame{bytes: binary.AppendUvarint([]byte{kindCancel}, id), lane: laneSnapshot, class: classNormal}, maxQueueBytes, nil)
		return err
	}
	s.extend(install, time.Now().Add(step))
	<-install.done
	return install.err
}

// sendChunks sends size bytes of data, one acknowledged chunk at a time.
func (t *Transport) sendChunks(s *session, install *pending, id uint64, data io.Reader, size int64) error {
	buf := make([]byte, snapshotChunk)
	for sent := int64(0); ; {
		n, err := io.ReadFull(data, buf[:min(int64(len(buf)), size-sent)])
		if err != nil && size > sent {
			return fmt.Errorf("read snapshot at %d of %d: %w", sent, size, err)
		}
		sent += int64(n)
		last := sent == size
		chunk := &pending{owner: t, deadline: time.Now().Add(t.mux.timings.SnapshotStep), done: make(chan struct{})}
		_, err = s.request(chunk, outFrame{class: classNormal, lane: laneSnapshot}, func(dst []byte, chunkID uint64) []byte {
			return appendChunk(dst, chunkID, id, last, buf[:n])
		})
		if err != nil {
			return err
		}
		select {
		case <-chunk.done:
		case <-install.done: // answered before it was all sent: refused
			return errSnapshotAborted
		}
		if chunk.err != nil {
			return chunk.err
		}
		if last {
			return nil
		}
	}
}

// snapshot begins a snapshot that comes in.
func (in *inLink) snapshot(t *Transport, h raftHeader, f *fields, header raft.RPCHeader) error {
	r, err := readSnapshot(f)
	if err != nil {
		return err
	}
	in.mux.observeSnapshot(h.group)
	if h.group != MetaGroup {
		return in.refuse(h.id, CodeGap, "no InstallSnapshot for data groups")
	}
	r.RPCHeader, r.Leader = header, header.Addr
	reader := &snapshotReader{link: in, step: in.mux.timings.SnapshotStep, chunks: make(chan chunk, 1), aborted: make(chan struct{})}
	in.mu.Lock()
	full := in.err != nil || len(in.snapshots) >= maxSnapshots
	if !full {
		in.snapshots[h.id] = reader
	}
	in.mu.Unlock()
	if full {
		return in.refuse(h.id, CodeBusy, "too many snapshots at once")
	}
	end := func() {
		in.mu.Lock()
		delete(in.snapshots, h.id)
		in.mu.Unlock()
		reader.abort()
	}
	rpc := raft.RPC{Command: r, Reader: io.LimitReader(reader, r.Size)}
	if !t.deliver(rpc, answerSlot{link: in, id: h.id, class: classNormal, after: end}) {
		end()
		return in.refuse(h.id, CodeBusy, "the group's queue is full")
	}
	return nil
}

// chunk is a piece of a snapshot; it is acknowledged when it has been read.
type chunk struct {
	id   uint64
	data []byte
	last bool
}

// chunk hands a piece to its snapshot's reader.
func (in *inLink) chunk(f *fields) error {
	id, snapshot, last, data, err := readChunk(f)
	if err != nil {
		return err
	}
	in.mu.Lock()
	reader := in.snapshots[snapshot]
	in.mu.Unlock()
	if reader == nil {
		return in.refuse(id, CodeMalformed, "no such snapshot")
	}
	select {
	case reader.chunks <- chunk{id: id, data: append([]byte(nil), data...), last: last}:
		return nil
	default:
		return in.refuse(id, CodeMalformed, "a chunk before the last one was acknowledged")
	}
}

// snapshotReader is the io.Reader that Raft reads a snapshot from.
type snapshotReader struct {
	link    *inLink
	step    time.Duration // longest wait for a chunk
	chunks  chan chunk
	current chunk
	ended   bool

	once    sync.Once
	aborted chan struct{}
}

func (r *snapshotReader) abort() { r.once.Do(func() { close(r.aborted) }) }

// Read implements io.Reader.
func (r *snapshotReader) Read(b []byte) (int, error) {
	for len(r.current.data) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.current.data)
	r.current.data = r.current.data[n:]
	return n, nil
}

// next takes the next chunk and acknowledges it: the peer may send another
// while Raft stores this one.
func (r *snapshotReader) next() error {
	timer := time.NewTimer(r.step)
	defer timer.Stop()
	select {
	case r.current = <-r.chunks:
	case <-r.aborted:
		return errSnapshotAborted
	case <-timer.C:
		return fmt.Errorf("%w: no chunk in %v", errSnapshotAborted, r.step)
	}
	r.ended = r.current.last
	r.link.answer(appendDone(nil, r.current.id), classNormal, r.aborted)
	return nil
}

// observeSnapshot tells the hook of an InstallSnapshot frame that crosses.
func (m *Mux) observeSnapshot(group uint32) {
	if m.config.ObserveSnapshot != nil {
		m.config.ObserveSnapshot(group)
	}
}
