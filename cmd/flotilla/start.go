package main

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/node"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

func startVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:  "start",
		Usage: "run a node",
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			if err := arity(c, 0, 0); err != nil {
				return err
			}
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // who reads its lines may go before it does: it goes on, and ends as it should
			switch err := node.Run(c.Context, cfg); {
			case errors.Is(err, node.ErrFixed):
				return usageError{err.Error()}
			case err != nil:
				return verdict{exitError, err.Error()} // also after an interrupt, which is how a node is stopped
			}
			return nil
		},
		Description: `flotilla start
flotilla start --name n1 --data-dir n1
flotilla start --name n2 --data-dir n2 --join 127.0.0.1:7602 \
  --rpc-addr 127.0.0.1:7610 --http-addr 127.0.0.1:7611 --gossip-addr 127.0.0.1:7612
flotilla start --name db1 --join db2:7602 --join db3:7602 --bootstrap-expect 3 --advertise 10.0.0.1 \
  --rpc-addr :7600 --http-addr :7601 --gossip-addr :7602 --cluster-key-file /etc/flotilla/key
FLOTILLA_STORAGE_LOG_RETENTION=4GiB flotilla start --config /etc/flotilla.yaml`,
	}
}

// settingSwitch is a boolean setting: it also takes its value as the next word (arrange.go).
type settingSwitch struct{ *cli.BoolFlag }

// configFlags makes one flag of every setting, and --config.
func configFlags() []cli.Flag {
	flags := []cli.Flag{&cli.StringFlag{Name: "config", DefaultText: "FLOTILLA_CONFIG",
		Usage: "YAML file; flags and FLOTILLA_ variables win over it", Category: "Node:"}}
	for _, s := range config.Settings() {
		var aliases []string
		if s.Also != "" {
			aliases = []string{config.Setting{Key: s.Also}.Flag()}
		}
		switch s.Shape {
		case config.Switch:
			flags = append(flags, settingSwitch{&cli.BoolFlag{Name: s.Flag(), Aliases: aliases, Usage: s.Doc,
				DefaultText: s.Default, Category: s.Category}})
		case config.List:
			flags = append(flags, &cli.StringSliceFlag{Name: s.Flag(), Aliases: aliases, Usage: s.Doc, Category: s.Category})
		default:
			flags = append(flags, &cli.StringFlag{Name: s.Flag(), Aliases: aliases, Usage: s.Doc,
				DefaultText: s.Default, Category: s.Category})
		}
	}
	return flags
}

// loadConfig reads flags, environment and file. All its errors are usage errors.
func loadConfig(c *cli.Context) (config.Config, error) {
	in := config.Inputs{File: c.String("config"), Environ: os.Environ(), Flags: map[string]string{}}
	if in.File == "" {
		in.File = os.Getenv("FLOTILLA_CONFIG")
	}
	for _, s := range config.Settings() {
		if !c.IsSet(s.Flag()) {
			continue
		}
		switch s.Shape {
		case config.Switch:
			in.Flags[s.Key] = "false"
			if c.Bool(s.Flag()) {
				in.Flags[s.Key] = "true"
			}
		case config.List:
			in.Flags[s.Key] = strings.Join(c.StringSlice(s.Flag()), ",")
		default:
			in.Flags[s.Key] = c.String(s.Flag())
		}
	}
	cfg, err := config.Load(in)
	if err != nil {
		return cfg, usageError{err.Error()}
	}
	return cfg, nil
}
