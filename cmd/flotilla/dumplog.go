package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// commandType is what Raft calls an entry that the state machine sees; the others are its own.
const commandType = "LogCommand"

// dumpLog prints a segment of the shared log, or a raft.db of the boltdb engine.
func dumpLog(w io.Writer, path string) error {
	if filepath.Base(filepath.Dir(path)) == "meta" {
		return usagef("%s is the log of the meta group: flotilla dump meta prints it", path)
	}
	return dumpRecords(w, describeShardCommands, func(yield func(raftlog.DumpedRecord) error) error {
		if filepath.Ext(path) == ".db" {
			return raftlog.DumpBolt(path, true, yield)
		}
		return raftlog.DumpSegment(path, yield)
	})
}

// dumpMeta prints votes.db as vote records, and any other file as the log of the meta group.
func dumpMeta(w io.Writer, path string) error {
	if filepath.Base(path) == "votes.db" {
		return dumpVotes(w, path)
	}
	return dumpRecords(w, describeMetaCommand, func(yield func(raftlog.DumpedRecord) error) error {
		return raftlog.DumpBolt(path, false, yield)
	})
}

func dumpVotes(w io.Writer, path string) error {
	var bad damage
	err := raftlog.DumpVotes(path, func(r raftlog.VoteRecord, err error) error {
		if err != nil {
			bad++
			_, err := fmt.Fprintf(w, "group %d: DAMAGED: %v\n", r.Group, err)
			return err
		}
		_, err = fmt.Fprintf(w, "group %d lineage %s generation %d: term %d, voted in term %d for %q\n",
			r.Group, r.Lineage, r.Generation, r.CurrentTerm, r.LastVoteTerm, r.LastVoteCand)
		return err
	})
	if err != nil {
		return err
	}
	return bad.verdict()
}

func dumpRecords(w io.Writer, describe func([]byte) string, read func(func(raftlog.DumpedRecord) error) error) error {
	var bad damage
	err := read(func(r raftlog.DumpedRecord) error {
		if r.Err != nil {
			bad++
			_, err := fmt.Fprintf(w, "%s  DAMAGED: %v\n", recordPlace(r), r.Err)
			return err
		}
		text := recordPlace(r) + "  " + r.Kind
		if r.Type != "" {
			text += fmt.Sprintf("  term %d %s, %d bytes", r.Term, r.Type, len(r.Data))
		}
		if !r.AppendedAt.IsZero() {
			text += ", " + r.AppendedAt.UTC().Format(time.RFC3339Nano)
		}
		if r.Detail != "" {
			text += ", " + r.Detail
		}
		if r.Type == commandType && len(r.Data) > 0 {
			text += ": " + describe(r.Data)
		}
		_, err := fmt.Fprintln(w, text)
		return err
	})
	if err != nil {
		return err
	}
	return bad.verdict()
}

// recordPlace names a record: where it lies, where a file holds many groups, and its index.
func recordPlace(r raftlog.DumpedRecord) string {
	if r.Segment == 0 && r.Offset == 0 {
		return fmt.Sprintf("index %d", r.Index)
	}
	text := fmt.Sprintf("%d:%-8d batch %d group %d life %d", r.Segment, r.Offset, r.Sequence, r.Group, r.Life)
	if r.Index > 0 {
		text += fmt.Sprintf(" index %d", r.Index)
	}
	return text
}

// commandNames of the kinds of storage.Command.
var commandNames = map[storage.CommandKind]string{
	storage.KindPut: "put", storage.KindDelete: "delete", storage.KindRetain: "retain", storage.KindCut: "cut",
	storage.KindLease: "lease", storage.KindEnd: "end", storage.KindNoop: "no-op", storage.KindFormat: "format",
}

// describeShardCommands lists the commands of an entry of a data group: put 120 B, cut 40 B.
func describeShardCommands(data []byte) string {
	var parts []string
	for c, err := range storage.DecodeCommands(data) {
		if err != nil {
			return strings.Join(append(parts, "UNREADABLE: "+err.Error()), ", ")
		}
		name, known := commandNames[c.Kind]
		if !known {
			name = fmt.Sprintf("command %d", c.Kind)
		}
		parts = append(parts, fmt.Sprintf("%s %d B", name, len(c.Body)))
	}
	return strings.Join(parts, ", ")
}

func describeMetaCommand(data []byte) string {
	c, err := directory.Decode(data)
	if err != nil {
		return "UNREADABLE: " + err.Error()
	}
	return strings.TrimPrefix(fmt.Sprintf("%T %+v", c, c), "directory.")
}
