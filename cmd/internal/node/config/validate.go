package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// minKeyBytes is the least secret that a key file may hold.
const minKeyBytes = 16

// maxKeyBytes bounds a key file: a larger one is some other file by mistake.
const maxKeyBytes = 4096

// validate checks the rules between the settings that a node is started with.
func (c *Config) validate() error {
	if err := c.checkExposure(); err != nil {
		return err
	}
	if err := c.checkCluster(); err != nil {
		return err
	}
	if c.BootstrapExpect > 1 && len(c.Join) == 0 {
		return fmt.Errorf("--bootstrap-expect %d needs --join: it is how the %d nodes find each other",
			c.BootstrapExpect, c.BootstrapExpect)
	}
	return c.checkPorts()
}

// checkCluster checks the rules between cluster-wide settings, which may change while the cluster runs.
func (c *Config) checkCluster() error {
	if c.Replication.MinReplicasForWrite > c.Replication.Factor {
		return fmt.Errorf("replication.min_replicas_for_write %d is above replication.factor %d: no write could ever succeed",
			c.Replication.MinReplicasForWrite, c.Replication.Factor)
	}
	return nil
}

// checkExposure holds the loopback rule: an address that others can reach needs a key, or the operator's word.
func (c *Config) checkExposure() error {
	if c.ClusterKeyFile != "" && c.Insecure {
		return errors.New("--cluster-key-file and --insecure exclude each other")
	}
	if c.ClusterKeyFile != "" || c.Insecure {
		return nil
	}
	for _, a := range []struct{ flag, host string }{
		{"--rpc-addr " + c.RPCAddr, hostOf(c.RPCAddr)},
		{"--http-addr " + c.HTTPAddr, hostOf(c.HTTPAddr)},
		{"--gossip-addr " + c.GossipAddr, hostOf(c.GossipAddr)},
		{"--advertise " + c.Advertise, c.Advertise},
	} {
		if a.flag == "--advertise " || isLoopback(a.host) {
			continue
		}
		return fmt.Errorf("%s is not loopback: give --cluster-key-file FILE (openssl rand -base64 32 > FILE), or --insecure", a.flag)
	}
	return nil
}

// checkPorts refuses two of the three addresses being one. Port 0 is any free port.
func (c *Config) checkPorts() error {
	seen := map[string]string{}
	for _, a := range [][2]string{{"rpc_addr", c.RPCAddr}, {"http_addr", c.HTTPAddr}, {"gossip_addr", c.GossipAddr}} {
		if strings.HasSuffix(a[1], ":0") {
			continue
		}
		if other, twice := seen[a[1]]; twice {
			return fmt.Errorf("%s and %s are both %s", other, a[0], a[1])
		}
		seen[a[1]] = a[0]
	}
	return nil
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// isLoopback resolves nothing: a name that may point anywhere is not loopback, except the one that never does.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// loadKey derives the key from the file: SHA-256 over its content without surrounding white space, so that a file
// made by any tool, with or without a last line end, is the same key.
func (c *Config) loadKey() error {
	if c.ClusterKeyFile == "" {
		return nil
	}
	content, err := os.ReadFile(c.ClusterKeyFile)
	if err != nil {
		return fmt.Errorf("read cluster key: %w", err)
	}
	secret := bytes.TrimSpace(content)
	if len(secret) < minKeyBytes || len(content) > maxKeyBytes {
		return fmt.Errorf("cluster key file %s holds %d bytes: it needs %d to %d (openssl rand -base64 32)",
			c.ClusterKeyFile, len(secret), minKeyBytes, maxKeyBytes)
	}
	if info, err := os.Stat(c.ClusterKeyFile); err == nil && info.Mode().Perm()&0o044 != 0 && os.PathSeparator == '/' {
		c.Warnings = append(c.Warnings, fmt.Sprintf("cluster key file %s can be read by others (chmod 600)", c.ClusterKeyFile))
	}
	sum := sha256.Sum256(secret)
	c.ClusterKey = sum[:]
	return nil
}
