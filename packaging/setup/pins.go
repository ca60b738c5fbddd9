package main

// pins are what is fetched, by what it hashes to.
type pins struct {
	runtime   npmPackage
	libraries map[string]packed // by architecture
	weights   npmPackage
	graph     []packed
	model     string // sha256 of the converted model
}

// npmPackage is a package of the npm registry.
type npmPackage struct {
	name, version string
	integrity     string // as npm writes it: "sha512-" and the hash in base64
	mebibytes     int    // about, for the progress line
}

// packed is a file in a package.
type packed struct {
	entry  string // its name in the package
	path   string // where it goes, in the build folder
	sha256 string
}

func pinned() pins {
	return pins{
		runtime: npmPackage{
			"onnxruntime-node", "1.30.0",
			"sha512-twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw==", 108,
		},
		libraries: map[string]packed{
			"amd64": {
				"package/bin/napi-v6/linux/x64/libonnxruntime.so.1", "onnxruntime/amd64/libonnxruntime.so",
				"ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23",
			},
			"arm64": {
				"package/bin/napi-v6/linux/arm64/libonnxruntime.so.1", "onnxruntime/arm64/libonnxruntime.so",
				"1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76",
			},
		},
		weights: npmPackage{
			"@vladmandic/human", "3.3.6",
			"sha512-Nr5mPfq1gQ+uKeXY5uM3Fj8UxvF5CEh2s6txM5wRThqaW0mF9huooOuZSrT8hhGho0hGaXLFdAwfD/2+teCv6A==", 27,
		},
		graph: []packed{
			{
				"package/models/centernet.json", "tfjs/centernet.json",
				"bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
			},
			{
				"package/models/centernet.bin", "tfjs/centernet.bin",
				"1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
			},
		},
		model: "2cf44a8fa22576e18f65d5088647f4e364ca8e4356d53e81f61950426953230c",
	}
}
