package raftmux

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// requestOf decodes a request frame of any Raft kind.
func requestOf(t testing.TB, frame []byte) (byte, raftHeader, any, error) {
	t.Helper()
	f := &fields{rest: frame[1:]}
	h := readRaftHeader(f)
	switch frame[0] {
	case kindHeartbeat:
		r := &raft.AppendEntriesRequest{Term: f.uvarint()}
		return frame[0], h, r, f.err()
	case kindAppend:
		r, _, err := readAppend(f, false)
		return frame[0], h, r, err
	case kindVote:
		r, err := readVote(f)
		return frame[0], h, r, err
	case kindPreVote:
		r, err := readPreVote(f)
		return frame[0], h, r, err
	case kindSnapshot:
		r, err := readSnapshot(f)
		return frame[0], h, r, err
	}
	return frame[0], h, nil, f.err()
}

func drawHeader(t *rapid.T) raftHeader {
	return raftHeader{
		id: rapid.Uint64().Draw(t, "id"), group: rapid.Uint32().Draw(t, "group"), lineage: rapid.Uint64().Draw(t, "lineage"),
		to: rapid.Uint32().Draw(t, "to"), from: rapid.Uint32().Draw(t, "from"), protocol: rapid.Uint8().Draw(t, "protocol"),
	}
}

func drawBytes(t *rapid.T, label string) []byte {
	b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label)
	if len(b) == 0 {
		return nil
	}
	return b
}

func drawAppend(t *rapid.T) *raft.AppendEntriesRequest {
	r := &raft.AppendEntriesRequest{
		Term: rapid.Uint64().Draw(t, "term"), PrevLogEntry: rapid.Uint64().Draw(t, "prev"),
		PrevLogTerm: rapid.Uint64().Draw(t, "prevTerm"), LeaderCommitIndex: rapid.Uint64().Draw(t, "commit"),
	}
	index := r.PrevLogEntry
	for range rapid.IntRange(0, 20).Draw(t, "entries") {
		e := &raft.Log{Type: raft.LogType(rapid.IntRange(0, 7).Draw(t, "type")), Data: drawBytes(t, "data"), Extensions: drawBytes(t, "extensions")}
		if index++; rapid.Bool().Draw(t, "jump") {
			index = rapid.Uint64().Draw(t, "index")
		}
		e.Index, e.Term = index, rapid.SampledFrom([]uint64{r.PrevLogTerm, r.Term, 0, math.MaxUint64}).Draw(t, "entryTerm")
		if rapid.Bool().Draw(t, "timed") {
			e.AppendedAt = time.Unix(0, rapid.Int64Range(-(math.MaxInt64/int64(time.Second)-1)*int64(time.Second), (math.MaxInt64/int64(time.Second)-1)*int64(time.Second)).Draw(t, "at"))
		}
		r.Entries = append(r.Entries, e)
	}
	return r
}

func TestAppendEntriesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, r := drawHeader(t), drawAppend(t)
		echo := reading(rapid.Uint64().Draw(t, "echo"))
		f := &fields{rest: appendAppend(nil, h, echo, r)[1:]}
		if got := readRaftHeader(f); got != h {
			t.Fatalf("header %+v, not %+v", got, h)
		}
		if isHeartbeat(r) {
			return
		}
		got, gotEcho, err := readAppend(f, rapid.Bool().Draw(t, "owned"))
		if err != nil || gotEcho != echo {
			t.Fatalf("decode: %v", err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Fatalf("got %+v, want %+v", got, r)
		}
	})
}

func TestEntriesDoNotAliasTheMessage(t *testing.T) {
	r := &raft.AppendEntriesRequest{Term: 1, Entries: []*raft.Log{{Index: 1, Term: 1, Data: []byte("keep me")}}}
	frame := appendAppend(nil, raftHeader{}, 0, r)
	f := &fields{rest: frame[1:]}
	readRaftHeader(f)
	got, _, err := readAppend(f, false)
	if err != nil {
		t.Fatal(err)
	}
	clear(frame)
	if string(got.Entries[0].Data) != "keep me" {
		t.Fatalf("data is now %q", got.Entries[0].Data)
	}
}

func TestVotesAndSnapshotRequestsComeBackAsTheyWere(t *testing.T) {
	h := raftHeader{id: 9, group: MetaGroup, lineage: 1 << 63, to: 3, from: math.MaxUint32, protocol: 3}
	for _, c := range []struct {
		frame []byte
		want  any
	}{
		{appendVote(nil, h, &raft.RequestVoteRequest{Term: 1, LastLogIndex: 2, LastLogTerm: 3, LeadershipTransfer: true}),
			&raft.RequestVoteRequest{Term: 1, LastLogIndex: 2, LastLogTerm: 3, LeadershipTransfer: true}},
		{appendPreVote(nil, h, &raft.RequestPreVoteRequest{Term: math.MaxUint64, LastLogIndex: 2}),
			&raft.RequestPreVoteRequest{Term: math.MaxUint64, LastLogIndex: 2}},
		{appendAppend(nil, h, 5, &raft.AppendEntriesRequest{Term: 77}), &raft.AppendEntriesRequest{Term: 77}},
		{appendSnapshot(nil, h, &raft.InstallSnapshotRequest{SnapshotVersion: 1, Term: 5, LastLogIndex: 6, LastLogTerm: 4, ConfigurationIndex: 3, Size: 1 << 40, Configuration: []byte("conf")}),
			&raft.InstallSnapshotRequest{SnapshotVersion: 1, Term: 5, LastLogIndex: 6, LastLogTerm: 4, ConfigurationIndex: 3, Size: 1 << 40, Configuration: []byte("conf")}},
	} {
		_, gotHeader, got, err := requestOf(t, c.frame)
		if err != nil || gotHeader != h || !reflect.DeepEqual(got, c.want) {
			t.Errorf("kind %d: %+v %+v, %v", c.frame[0], gotHeader, got, err)
		}
	}
}

func TestAnswersComeBackAsTheyWere(t *testing.T) {
	from := []byte("n1.0a1b2c3d.0")
	header := raft.RPCHeader{ProtocolVersion: 3, ID: from, Addr: from}
	for _, want := range []any{
		&raft.AppendEntriesResponse{RPCHeader: header, Term: 1, LastLog: 2, Success: true},
		&raft.AppendEntriesResponse{RPCHeader: header, Term: 1, LastLog: math.MaxUint64, NoRetryBackoff: true},
		&raft.RequestVoteResponse{RPCHeader: header, Term: 7, Granted: true},
		&raft.RequestPreVoteResponse{RPCHeader: header, Term: 7},
		&raft.InstallSnapshotResponse{RPCHeader: header, Term: 8, Success: true},
	} {
		frame := appendRaftAnswer(nil, 5, want, nil)
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		f := &fields{rest: frame[1:]}
		if id := f.uvarint(); id != 5 {
			t.Fatalf("id %d", id)
		}
		if err := readRaftAnswer(frame[0], f, got, from); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

// The text counts as a granted pre-vote in raft 1.7.3.
func TestNoErrorSaysUnexpectedCommand(t *testing.T) {
	for _, text := range []string{"unexpected command", "a unexpected command b", "ununexpected commandexpected command", strings.Repeat("é", maxErrorText)} {
		frame := appendRaftAnswer(nil, 1, nil, errors.New(text))
		p := &pending{}
		f := &fields{rest: frame[1:]}
		f.uvarint()
		err := p.take(frame[0], f, false)
		if err == nil || strings.Contains(err.Error(), forbiddenText) || len(err.Error()) > maxErrorText+64 {
			t.Errorf("%q gave %v", text, err)
		}
	}
	// A peer of another make is not believed either.
	p := &pending{}
	if err := p.take(kindFailed, &fields{rest: []byte("\x09unexpected command")}, false); strings.Contains(err.Error(), forbiddenText) {
		t.Errorf("passed on: %v", err)
	}
}

func TestFragmentsOfAllLanesInterleave(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var out [laneCount]*laneFrame
	var want [laneCount][]byte
	for lane := range out {
		want[lane] = make([]byte, 1+rng.IntN(3*fragmentSize))
		if lane == laneSnapshot {
			want[lane] = want[lane][:min(len(want[lane]), snapshotChunk)]
		}
		for i := range want[lane] {
			want[lane][i] = byte(rng.Uint32())
		}
		out[lane] = &laneFrame{frame: want[lane]}
	}
	var a assembler
	got := map[int][]byte{}
	for open := true; open; {
		open = false
		for lane, l := range out {
			if l.sent == len(l.frame) {
				continue
			}
			open = true
			header, piece, _ := l.fragment(lane)
			kind, body, rest, ok := nextFrame(append(header, piece...))
			if !ok || kind != kindFragment || len(rest) != 0 {
				t.Fatalf("fragment is no frame")
			}
			frame, err := a.add(body)
			if err != nil {
				t.Fatalf("add: %v", err)
			}
			if frame != nil {
				got[lane] = frame
			}
		}
	}
	for lane := range want {
		if !bytes.Equal(got[lane], want[lane]) {
			t.Errorf("lane %d differs", lane)
		}
	}
}

func FuzzRequests(f *testing.F) {
	h := raftHeader{id: 1, group: 7, lineage: 8, protocol: 3}
	f.Add(appendAppend(nil, h, 5, &raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 4, Entries: []*raft.Log{{Index: 5, Term: 2, Data: []byte("x"), AppendedAt: time.Unix(1, 2)}, {Index: 9, Term: 1, Extensions: []byte("e")}}}))
	f.Add(appendVote(nil, h, &raft.RequestVoteRequest{Term: 3}))
	f.Add(appendPreVote(nil, h, &raft.RequestPreVoteRequest{Term: 3}))
	f.Add(appendSnapshot(nil, h, &raft.InstallSnapshotRequest{Size: 3}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) == 0 {
			return
		}
		kind, h, r, err := requestOf(t, frame)
		if err != nil {
			return
		}
		if a, ok := r.(*raft.AppendEntriesRequest); ok && kind == kindAppend && !isHeartbeat(a) {
			again := appendAppend(nil, h, 0, a)
			_, h2, r2, err := requestOf(t, again)
			if err != nil || h2 != h || !reflect.DeepEqual(r2, r) {
				t.Fatalf("%+v became %+v, %v", r, r2, err)
			}
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(byte(0), appendRaftAnswer(nil, 1, &raft.AppendEntriesResponse{Term: 1}, nil))
	f.Add(byte(1), appendRaftAnswer(nil, 1, &raft.RequestVoteResponse{Term: 1}, nil))
	f.Add(byte(2), appendFailed(nil, 1, CodeBusy, "busy"))
	f.Add(byte(4), appendCalled(nil, 1, []byte("payload")))
	f.Fuzz(func(t *testing.T, which byte, frame []byte) {
		if len(frame) == 0 {
			return
		}
		answers := []any{&raft.AppendEntriesResponse{}, &raft.RequestVoteResponse{}, &raft.RequestPreVoteResponse{}, &raft.InstallSnapshotResponse{}, nil}
		p := &pending{owner: &Transport{}, answer: answers[int(which)%len(answers)]}
		if which > 128 {
			p.owner = nil
		}
		fields := &fields{rest: frame[1:]}
		fields.uvarint()
		if err := p.take(frame[0], fields, false); err != nil && strings.Contains(err.Error(), forbiddenText) {
			t.Fatalf("error says %v", err)
		}
	})
}

func FuzzStream(f *testing.F) {
	l := &laneFrame{frame: []byte("frame")}
	header, piece, _ := l.fragment(laneCall)
	f.Add(append(header, piece...))
	f.Add(appendFrame(nil, appendCall(nil, callHeader{id: 1, method: 2, timeout: time.Second}, []byte("p"))))
	f.Add(appendFrame(nil, appendChunk(nil, 1, 2, true, []byte("c"))))
	f.Fuzz(func(t *testing.T, message []byte) {
		var a assembler
		var c counters
		eachFrame(message, &c, func(kind byte, body []byte, _ bool) error {
			fields := &fields{rest: body}
			switch kind {
			case kindFragment:
				_, err := a.add(body)
				return err
			case kindCall:
				h, payload, err := readCall(fields)
				if err == nil && (h.timeout > maxCallTimeout || len(payload) > len(body)) {
					t.Fatalf("call %+v", h)
				}
			case kindChunk:
				readChunk(fields)
			}
			return nil
		})
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add(appendHello(nil, hello{version: 1, cluster: testCluster, opener: nodeID("n1"), wanted: nodeID("n2")}))
	f.Add(appendChallenge(nil, nodeID("n1"), [nonceSize]byte{1}, []byte("proof")))
	f.Add(appendProof(nil, []byte("proof")))
	f.Add(appendRefuse(nil, &refusedError{refuseKey, "why"}))
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) == 0 {
			return
		}
		if h, err := readHello(&fields{rest: frame[1:]}); err == nil {
			if again := appendHello(nil, h); !bytes.Equal(again[1:], frame[1:]) {
				h2, err := readHello(&fields{rest: again[1:]})
				if err != nil || h2 != h {
					t.Fatalf("%+v became %+v, %v", h, h2, err)
				}
			}
		}
		readChallenge(&fields{rest: frame[1:]})
		readProof(&fields{rest: frame[1:]})
		readRefuse(&fields{rest: frame[1:]})
	})
}
