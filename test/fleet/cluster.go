package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// size is how many brokers there are: the least of which one may die.
const size = 3

// node is one broker.
type node struct {
	Name   string
	Dir    string
	MQTT   int
	Client int
	Route  int
	Routes []int // of all

	mqtt string // address
	cmd  *exec.Cmd
}

type cluster struct{ nodes [size]*node }

// startCluster starts the brokers, each in a process of its own, and waits until each takes MQTT connections.
func startCluster(ctx context.Context, dir string) (*cluster, error) {
	ports, err := freePorts(3 * size)
	if err != nil {
		return nil, err
	}
	c := &cluster{}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for i := range c.nodes {
		n := &node{
			Name: fmt.Sprintf("n%d", i), Dir: filepath.Join(dir, fmt.Sprintf("n%d", i)),
			MQTT: ports[3*i], Client: ports[3*i+1], Route: ports[3*i+2], Routes: []int{ports[2], ports[5], ports[8]},
		}
		n.mqtt = fmt.Sprintf("127.0.0.1:%d", n.MQTT)
		text, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		n.cmd = exec.CommandContext(ctx, self, "-node", string(text))
		n.cmd.Stderr = os.Stderr
		if err := n.cmd.Start(); err != nil {
			c.stop()
			return nil, err
		}
		c.nodes[i] = n
	}
	for _, n := range c.nodes {
		for !answers(n.mqtt) {
			select {
			case <-ctx.Done():
				c.stop()
				return nil, fmt.Errorf("broker %s does not listen: %w", n.Name, ctx.Err())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return c, nil
}

func answers(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

// freePorts are ports of loopback that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// kill ends a broker as a power cut does.
func (c *cluster) kill(i int) error {
	if err := c.nodes[i].cmd.Process.Kill(); err != nil {
		return err
	}
	_ = c.nodes[i].cmd.Wait()
	return nil
}

func (c *cluster) stop() {
	for _, n := range c.nodes {
		if n != nil && n.cmd.ProcessState == nil {
			_ = n.cmd.Process.Kill()
			_ = n.cmd.Wait()
		}
	}
}

// runNode is a broker's process.
func runNode(ctx context.Context, text string) error {
	var n node
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return err
	}
	opts := &server.Options{
		ServerName: n.Name, Host: "127.0.0.1", Port: n.Client, NoSigs: true, NoLog: true, JetStream: true, StoreDir: n.Dir,
		Cluster: server.ClusterOpts{Name: "fleet", Host: "127.0.0.1", Port: n.Route},
		MQTT:    server.MQTTOpts{Host: "127.0.0.1", Port: n.MQTT, StreamReplicas: size, AckWait: 30 * time.Second},
	}
	for _, route := range n.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", route)})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.Start()
	<-ctx.Done()
	s.Shutdown()
	return nil
}
