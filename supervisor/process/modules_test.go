package process

import (
	"strings"
	"testing"
)

const someMaps = `55d0c0a00000-55d0c0b00000 r-xp 00002000 08:01 1234 /usr/bin/vedette
7f1c20000000-7f1c20100000 r--p 00000000 08:01 1235 /usr/lib/vedette/libonnxruntime.so
7f1c20100000-7f1c21000000 r-xp 00100000 08:01 1235 /usr/lib/vedette/libonnxruntime.so
7f1c30000000-7f1c30001000 r-xp 00000000 00:00 0 [vdso]
7f1c40000000-7f1c40001000 rwxp 00000000 00:00 0
garbage
zz-yy r-xp 0 08:01 1 /x
`

func TestACrashIsPlacedInItsLibrary(t *testing.T) {
	modules := readModules(strings.NewReader(someMaps))
	if len(modules) != 2 {
		t.Fatalf("modules %+v", modules)
	}
	for report, want := range map[string]string{
		"SIGSEGV: segmentation violation\nPC=0x7f1c20234567 m=4 sigcode=1 addr=0x0\nsignal arrived during cgo execution\n": "libonnxruntime.so+0x234567",
		"SIGSEGV: segmentation violation\nPC=0x55d0c0a00010 m=0 sigcode=1\n":                                               "vedette+0x2010",
		"SIGSEGV: segmentation violation\nPC=0x10 m=0 sigcode=1\n":                                                         "",
		"panic: x\n\ngoroutine 1 [running]:\n":                                                                             "",
		"SIGSEGV\nPC=0xffffffffffffffffffff m=0\n":                                                                         "",
	} {
		if got := nativePlace(report, modules); got != want {
			t.Errorf("%q is placed at %q, want %q", report, got, want)
		}
	}
}
