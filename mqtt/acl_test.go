package mqtt

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"vedette/mqtt/mqtttest"
)

// The ACL that the documents give lets a device do its work, and nothing of another's.
func TestTheDocumentedACL(t *testing.T) {
	page, err := os.ReadFile("../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	acl := regexp.MustCompile("(?s)```\n(pattern write vedette/%u/#.*?)```\n").FindSubmatch(page)
	if acl == nil {
		t.Fatal("docs/OPERATIONS.md has no ACL")
	}
	passwords := file(t, "")
	for _, user := range []string{"bench", "other"} {
		if out, err := exec.Command("mosquitto_passwd", "-b", passwords, user, password).CombinedOutput(); err != nil {
			t.Skipf("mosquitto_passwd (of the package mosquitto) does not work: %v %s", err, out)
		}
	}
	// Anybody else, which no broker should have: it stands for who watches and commands.
	everything := "topic readwrite #\ntopic read $SYS/#\n"
	broker := mqtttest.StartBroker(t, "allow_anonymous true", "password_file "+passwords, "acl_file "+file(t, everything+string(acl[1])))
	live := broker.Subscribe("#")
	config := configFor("tcp://" + broker.Addr())
	config.Username, config.PasswordFile = "bench", file(t, password+"\n")
	heard := make(chan Received, 8)
	s := startWith(t, config, Subscription{"vedette/bench/command/reload", func(m Received) { heard <- m }},
		Subscription{"vedette/other/command/reload", func(m Received) { heard <- m }})
	s.connected()
	s.SetRetained("vedette/other/state", []byte("not mine"))
	s.SetRetained("homeassistant/device/vedette_other/config", []byte("not mine"))
	s.SetRetained("homeassistant/device/vedette_bench/config", []byte("mine"))
	s.SetRetained("vedette/bench/state", []byte("mine"))
	live.WaitFor("vedette/bench/state", "mine")
	live.WaitFor("homeassistant/device/vedette_bench/config", "mine")
	for _, topic := range []string{"vedette/other/state", "homeassistant/device/vedette_other/config"} {
		if came := live.Payloads(topic); len(came) > 0 {
			t.Errorf("on %s came %q", topic, came)
		}
	}
	publish(t, broker, "-t", "vedette/other/command/reload", "-m", "not for it")
	publish(t, broker, "-t", "vedette/bench/command/reload", "-m", "for it")
	select {
	case m := <-heard:
		if string(m.Payload) != "for it" {
			t.Errorf("it heard %q on %s", m.Payload, m.Topic)
		}
	case <-time.After(mqtttest.Patience):
		t.Error("it hears nothing")
	}
}
