package raftgroup

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// The target dies at every step of an install and starts again: it is what it was
// or what it was to become, the others go on, and a second try brings it home.
func TestTargetDiesAtEveryStepOfAnInstall(t *testing.T) {
	for i, name := range InstallSteps {
		for _, way := range []struct {
			name    string
			inPlace bool
			trimmed bool
			bolt    bool
		}{{"InPlace", true, true, false}, {"Full", false, true, false}, {"FullBolt", false, true, true}, {"InPlaceLogKept", true, false, false}} {
			t.Run(name+way.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					died := errors.New("the process ends here")
					step := func(uint32, string) error { return nil }
					s := newScene(t, way.bolt, func(c *HostConfig) {
						c.InstallStep = func(group uint32, at string) error { return step(group, at) }
					})
					s.applied(7, s.write(5))
					if way.trimmed {
						s.net.setMute(s.target.id.Name)
						s.write(20)
						s.trim(s.leader)
					}
					h := s.hold(s.replica())
					before := h.View().Index()
					c := s.cut()
					s.write(2)
					if !way.trimmed { // two of three acked; its log is to be kept
						await(t, "the writes in the held one's log", time.Minute, func() bool {
							r, err := s.replica().Report()
							return err == nil && r.Last > c.cut.Index
						})
					}
					step = func(_ uint32, at string) error {
						if at == name {
							return died
						}
						return nil
					}
					if err := s.install(h, c, way.inPlace); !errors.Is(err, died) {
						t.Fatalf("install: %v", err)
					}
					step = func(uint32, string) error { return nil }
					s.write(3) // the others go on
					s.crash(s.target)
					s.net.setMute("")
					s.net.setMute(s.target.id.Name) // so that it is seen as it starts
					s.start(s.target)
					r := s.replica()
					if !r.Running() {
						t.Fatalf("it does not start: %s", r.Status().Why)
					}
					at, err := r.Report()
					if err != nil {
						t.Fatal(err)
					}
					if i < stepIntent && at.Applied != before {
						t.Errorf("before the intent it went from %v to %v", before, at.Applied)
					}
					if i >= stepIntent && at.Applied != c.cut.Position {
						t.Errorf("behind the intent it is at %v, the cut at %v", at.Applied, c.cut.Position)
					}
					if way.trimmed == (at.Last >= c.cut.Index+1) && i >= stepIntent {
						t.Errorf("its log is %d..%d, the cut at %d", at.First, at.Last, c.cut.Index)
					}
					if _, err := os.Stat(r.host.intentPath(7)); err == nil {
						t.Error("the intent is left")
					}
					if i < stepIntent {
						h = s.hold(r)
						if err := s.install(h, c, way.inPlace); err != nil {
							t.Fatal(err)
						}
					}
					s.net.setMute("")
					s.equal()
					s.serves(s.target.id.Server(0).String())
				})
			})
		}
	}
}

// The record of an install that is damaged decides nothing.
func TestDamagedIntentKeepsTheGroupClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		c := s.cut()
		path := s.replica().host.intentPath(7)
		s.stop(s.target, true)
		n := intent{Lineage: c.lineage, Cut: c.cut.Position, Log: logReset}
		b := n.append(nil)
		b[len(b)-6] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.startRefused(s.target); !errors.Is(err, errIntent) {
			t.Errorf("it starts: %v", err)
		}
		if g := s.replica(); g.Running() || g.Status().Why == "" {
			t.Errorf("it runs: %+v", g.Status())
		}
		s.write(3)
		// A new install replaces it.
		h := s.hold(s.replica())
		if h.View() == nil {
			t.Error("no base")
		}
		if err := s.install(h, c, false); err != nil {
			t.Fatal(err)
		}
		s.equal()
		time.Sleep(time.Second)
	})
}

// An install that cannot be finished is given up only where its record is gone:
// a start that finds it later would drop what was acked since.
func TestInstallIsNotGivenUpWhileItsRecordStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		c := s.cut()
		host := s.target.host
		s.hold(s.replica())
		n := intent{Lineage: c.lineage, Cut: c.cut.Position, Log: logReset}
		path := host.intentPath(7)
		if err := os.MkdirAll(path+"/stays", 0o750); err != nil { // it cannot be removed
			t.Fatal(err)
		}
		if err := host.carryOut(7, n, nil, nil); err == nil || errors.Is(err, errAbandoned) {
			t.Errorf("the old replica would run: %v", err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := host.carryOut(7, n, nil, nil); !errors.Is(err, errAbandoned) {
			t.Errorf("with the record gone: %v", err)
		}
	})
}

// Damage that is found while the copy is sealed or switched is of the old file: no
// leaves are put into it, and what replaces it is not taken for damaged.
func TestDamageFoundDuringAnInstallIsOfTheOldFile(t *testing.T) {
	for _, way := range []struct {
		at      int
		inPlace bool
	}{{stepSealed, true}, {stepSwitched, false}} {
		t.Run(InstallSteps[way.at], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				step := func(string) {}
				s := newScene(t, false, func(c *HostConfig) {
					c.InstallStep = func(_ uint32, at string) error { step(at); return nil }
				})
				s.applied(7, s.write(5))
				s.net.setMute(s.target.id.Name)
				s.write(20)
				replica := s.replica()
				h, c := s.hold(replica), s.cut()
				step = func(at string) {
					if at == InstallSteps[way.at] {
						s.target.host.damaged(7, errors.New("page 7: bad"))
						time.Sleep(5 * time.Second)
					}
				}
				err := s.install(h, c, way.inPlace)
				time.Sleep(5 * time.Second)
				st := replica.Status()
				if way.inPlace {
					if why, _ := s.target.host.quarantined(7); !errors.Is(err, storage.ErrDamaged) || why == "" || st.State != ReplicaQuarantined || st.Running {
						t.Errorf("leaves went into a damaged file: %v, %s, mark %q", err, st.State, why)
					}
					return
				}
				if err != nil || !st.Running || st.State != ReplicaReady {
					t.Errorf("%v, %s: %q", err, st.State, st.Why)
				}
				s.net.setMute("")
				s.equal()
			})
		})
	}
}
