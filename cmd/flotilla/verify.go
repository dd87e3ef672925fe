package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func verifyVerb(streams) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "prove that all replicas are equal, or say which is wrong, and repair it",
		ArgsUsage: "GROUP...|--all",
		Flags: jobFlags(
			&cli.BoolFlag{Name: "all", Usage: "every group that exists"},
			&cli.StringFlag{Name: "mode", Value: api.ModeAdvancedVerify,
				Usage: "advanced-verify (at a cut in the log, writes go on) or verify (as they stand, nothing in the log)"},
			&cli.BoolFlag{Name: "deep", Usage: "every replica re-reads all that it stores: blocks, structure, log, votes"},
			&cli.BoolFlag{Name: "repair", Usage: "what a majority says is wrong is repaired, and checked again at a later cut"},
		),
		Action: verify,
		Description: `flotilla verify --all
flotilla verify 34 143 -o json
flotilla verify --all --mode verify
flotilla verify --all --deep --repair

Writes go on. The majority of the voters says which replica is wrong; a leader may be. Without a majority nothing is
repaired: what differs is disputed. Only what differs is repaired, and its old bytes are kept in quarantine/.
-o name prints the groups that are not equal, or could not be checked fully: nothing when all is well.
Exit code 0: every group was checked on all its replicas and is equal, at the end; 5: a difference is left, or nobody
can say who is wrong; 6: none differs, some could not be checked fully.`,
	}
}

func verify(c *cli.Context) error {
	groups, err := groupArguments(c)
	if err != nil {
		return err
	}
	mode := c.String("mode")
	if mode != api.ModeVerify && mode != api.ModeAdvancedVerify {
		return usagef("--mode %q is not verify or advanced-verify", mode)
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	body := map[string]any{"groups": groups, "mode": mode}
	for _, name := range []string{"deep", "repair"} {
		if c.Bool(name) {
			body[name] = true
		}
	}
	job, err := startAndWait(c, s, apiclient.Request{Method: http.MethodPost, Path: "/v1/admin/verify", Body: body})
	if err != nil {
		return err
	}
	if c.Bool("detach") {
		return s.printJob(job)
	}
	if err := outcome(&job.Job); err != nil {
		return err
	}
	var result api.VerifyResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", job.ID, err)
	}
	if err := s.print.print(job.Result, func() (*table, error) { return verifyTable(&result), nil }); err != nil {
		return err
	}
	if code := result.ExitCode(); code != exitOK {
		return s.judged(c, code, verifyVerdict(&result))
	}
	return nil
}

// groupArguments reads GROUP... or --all; an empty list is all.
func groupArguments(c *cli.Context) ([]uint32, error) {
	switch all := c.Bool("all"); {
	case all && c.NArg() > 0:
		return nil, usagef("takes GROUP... or --all, not both")
	case !all && c.NArg() == 0:
		return nil, usagef("needs GROUP... or --all")
	}
	groups := []uint32{}
	for _, a := range c.Args().Slice() {
		id, err := groupID(a)
		if err != nil {
			return nil, err
		}
		groups = append(groups, id)
	}
	return groups, nil
}

// maxGroupID is the last group of a cluster with as many as coordinator.total_groups allows.
const maxGroupID = 4095

func groupID(argument string) (uint32, error) {
	id, err := strconv.ParseUint(argument, 10, 16)
	if err != nil || id > maxGroupID {
		return 0, usagef("%q is not the number of a group: 0 to %d at most; `flotilla groups` lists those that there are", argument, maxGroupID)
	}
	return uint32(id), nil
}

func verifyVerdict(r *api.VerifyResult) string {
	text := fmt.Sprintf("%d/%d groups equal, %d damaged", r.GroupsEqual, r.GroupsTotal, r.GroupsDamaged)
	if r.GroupsDamaged > 0 {
		text += fmt.Sprintf(" (%d repaired)", r.GroupsRepaired)
	}
	if more := r.FindingsTotal - len(r.Findings); more > 0 {
		text += fmt.Sprintf(", %d findings more than are listed", more)
	}
	return text + fmt.Sprintf(", %d unchecked; %s read in %s", r.GroupsUnchecked, bytesCell(r.BytesRead), secondsCell(float64(r.DurationMs)/1000))
}

// tableDevices bounds the devices of a finding that a table names; JSON has all that the check told.
const tableDevices = 3

func verifyTable(r *api.VerifyResult) *table {
	t := &table{verdict: verifyVerdict(r), columns: []column{
		{heading: "GROUP", right: true}, {heading: "NODE"}, {heading: "KIND"}, {heading: "VERDICT", colours: verdictColours}, {heading: "ACTION", colours: verdictColours},
		{heading: "WINDOW", right: true}, {heading: "SLOT", right: true}, {heading: "FROM"}, {heading: "TO"}, {heading: "DEVICES"}, {heading: "WHY"},
	}}
	for i := range r.Findings {
		f := &r.Findings[i]
		window, slot := absent, absent
		if f.Window != nil {
			window = countCell(*f.Window)
		}
		if f.Slot != nil {
			slot = countCell(*f.Slot)
		}
		t.add(countCell(f.GroupID), f.Node, f.Kind, f.Verdict, f.Action, window, slot, timeCell(f.From), timeCell(f.To), devicesCell(f.Devices), textCell(f.Detail))
	}
	for _, u := range r.Unchecked {
		t.add(countCell(u.GroupID), absent, absent, "unchecked", absent, absent, absent, absent, absent, absent, u.Reason)
	}
	return t
}

func devicesCell(devices []string) string {
	if len(devices) == 0 {
		return absent
	}
	text := strings.Join(devices[:min(len(devices), tableDevices)], ", ")
	if more := len(devices) - tableDevices; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// printJob prints one job.
func (s *session) printJob(j *finishedJob) error {
	return s.print.print(j.body, func() (*table, error) { return jobsTable(api.JobList{Jobs: []api.Job{j.Job}}), nil })
}
