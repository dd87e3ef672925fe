package clustertest

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

var errRefused = errors.New("refused")

func TestNetworkCutsDelaysAndHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		dial := n.Dialer("a", errRefused)
		if _, err := dial(t.Context(), "b:1"); !errors.Is(err, errRefused) {
			t.Fatalf("dial where nobody listens: %v", err)
		}
		l, err := n.Listen("b:1")
		if err != nil {
			t.Fatal(err)
		}
		near, err := dial(t.Context(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		receive := func(want string, after time.Duration) {
			t.Helper()
			began, buf := time.Now(), make([]byte, len(want))
			if _, err := io.ReadFull(far, buf); err != nil || string(buf) != want {
				t.Fatalf("got %q, %v", buf, err)
			}
			if took := time.Since(began); took != after {
				t.Fatalf("%q took %v, want %v", want, took, after)
			}
		}
		send := func(s string) {
			t.Helper()
			if _, err := near.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		send("one")
		receive("one", 0)
		n.Delay("a", "b", 40*time.Millisecond)
		send("two")
		receive("two", 40*time.Millisecond)
		n.Delay("a", "b", 0)
		n.Cut("b", "a")
		send("three")
		time.AfterFunc(time.Minute, func() { n.Heal("a", "b") })
		receive("three", time.Minute)

		if err := far.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("read past its deadline")
		}
		send("last")
		near.Close()
		_ = far.SetReadDeadline(time.Time{})
		receive("last", 0)
		if _, err := far.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("after the other end closed: %v", err)
		}
		l.Close()
		if _, err := dial(t.Context(), "b:1"); !errors.Is(err, errRefused) {
			t.Fatalf("dial a closed listener: %v", err)
		}
	})
}
