package raftmux

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnreachable: the request certainly did not reach the peer's handler.
	// Asking again, there or elsewhere, is safe.
	ErrUnreachable = errors.New("peer unreachable")
	// ErrBroken: the request may have been executed and its answer is lost
	// (stream broken, deadline). Report the outcome as unknown.
	ErrBroken = errors.New("answer lost")
	// ErrBusy: a bound was reached, here or at the peer; nothing was executed.
	// Ask again later.
	ErrBusy = errors.New("too many requests")
	// ErrTooLarge: the payload is over MaxPayload. Split it.
	ErrTooLarge = errors.New("payload too large")
	// ErrClosed: the Mux or the Transport is closed; nothing was executed.
	ErrClosed = errors.New("raftmux closed")
	// ErrGap: a data group's log no longer reaches a peer. The gap alarm was
	// raised in place of an InstallSnapshot; Raft backs off and goes on.
	ErrGap = errors.New("peer is behind the log: resync needed")
	// ErrRefused: nothing listens at the address. A Config.Dial of one's own
	// wraps it.
	ErrRefused = errors.New("connection refused")
	// ErrHandshake is wrapped by every refusal of a stream: other cluster,
	// key, protocol version or node. Retrying does not help until a
	// configuration changes.
	ErrHandshake = errors.New("stream refused")
)

// Code says what kind of error an answer carries. Handlers may use codes from
// CodeUser up, by returning a *RemoteError.
type Code uint8

// Codes of raftmux itself. All but CodeHandler say that nothing was executed.
const (
	CodeHandler      Code = iota + 1 // the handler ran and returned an error
	CodeNoMethod                     // no handler for the method
	CodeBusy                         // a bound was reached at the peer
	CodeExpired                      // the deadline had passed on arrival
	CodeMalformed                    // the frame could not be read
	CodeNotOpen                      // the group is not open there
	CodeWrongLineage                 // the group is of another lineage there
	CodeWrongServer                  // the frame names another server id
	CodeRaft                         // Raft itself answered an error
	CodeShutdown                     // the peer is shutting down
	CodeGap                          // InstallSnapshot of a data group

	// CodeUser is the first code that is free for handlers.
	CodeUser Code = 64
)

// RemoteError is an error that the peer answered.
type RemoteError struct {
	Code Code
	Text string
}

// Error gives the peer's text.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("peer answered: %s (code %d)", e.Text, e.Code)
}

// Executed reports whether the peer's handler ran.
func (e *RemoteError) Executed() bool { return e.Code == CodeHandler || e.Code >= CodeUser }

// Is lets errors.Is(err, ErrBusy) see a peer's bound.
func (e *RemoteError) Is(target error) bool { return target == ErrBusy && e.Code == CodeBusy }

// forbiddenText counts as a granted pre-vote in hashicorp/raft 1.7.3 (a peer
// "too old for pre-votes"): no error of ours, nor one passed on, may say it.
const forbiddenText = "unexpected command"

// cleanText makes a text fit for an error that Raft may see.
func cleanText(text string) string {
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "")
	}
	for strings.Contains(text, forbiddenText) {
		text = strings.ReplaceAll(text, forbiddenText, "command not expected")
	}
	return text
}
