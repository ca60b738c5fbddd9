//go:build system

package system

import (
	"path/filepath"
	"strings"
)

const imageConfig = "/usr/lib/vedette/vedette.yaml"

// readOnly starts the service as on an image whose root never changes: only its state and its cache can be written, and both
// start empty. The image's configuration holds, over it the operator's, over both what the service has written itself.
func (p *packaged) readOnly() {
	ctx := p.t.Context()
	image := strings.NewReplacer("device: guest", "device: image", "model: tiny", "model: "+modelFile+"\n  thresholds: {default: 0.3}")
	p.Write(ctx, imageConfig, image.Replace(packagedConfig))
	p.Succeed(ctx, "install", "-D", "--mode=644", stateModel, modelFile)
	p.Write(ctx, configFile, "device: guest\nmqtt: {commands: [threshold]}\n")
	// What else this machine writes is in memory from now on.
	p.Succeed(ctx, "sh", "-ec", `
		journalctl --relinquish-var
		systemctl stop mosquitto
		mount -t tmpfs tmpfs /var/lib/vedette
		mount -t tmpfs tmpfs /var/cache
		for folder in /var/lib/mosquitto /var/log; do
			cp -a $folder /run/kept
			mount -t tmpfs tmpfs $folder
			cp -a /run/kept/. $folder
			chown --reference=/run/kept $folder
			rm -r /run/kept
		done
		mount -o remount,ro /
		systemctl start mosquitto`)
	if said := p.Run(ctx, "touch", "/usr/lib/vedette/x"); said.ExitCode == 0 {
		p.t.Fatal("the root can be written")
	}
	p.Succeed(ctx, "systemctl", "start", "vedette")
	p.sees()
	p.Succeed(ctx, "vedette", "health", "--wait", "120s")
	const topic = "vedette/guest/command/threshold"
	p.Succeed(ctx, "mosquitto_pub", "-q", "1", "-t", topic, "-m", `{"id":"1","args":{"label":"person","value":0.2}}`)
	p.until("the command is obeyed", func() bool {
		return strings.Contains(strings.Join(p.subscriber.Payloads(topic+"/result"), "\n"), `"ok":true`)
	})
	shown := p.Succeed(ctx, "vedette", "config", "show")
	for _, want := range []string{
		"device: guest # " + configFile, "default: 0.3 # " + imageConfig, "person: 0.2 # /var/lib/vedette/overrides.yaml",
	} {
		if !strings.Contains(shown, want) {
			p.t.Errorf("the configuration that holds has no %q:\n%s", want, shown)
		}
	}
	p.Succeed(ctx, "systemctl", "stop", "vedette", "mosquitto")
	p.Succeed(ctx, "sh", "-ec", `mount -o remount,rw /
		umount /var/lib/vedette /var/cache /var/lib/mosquitto /var/log
		rm -r `+filepath.Dir(modelFile)+" "+imageConfig)
	p.Write(ctx, configFile, packagedConfig)
	p.Succeed(ctx, "systemctl", "start", "mosquitto")
}
