// Package wire is the talk between the service and one inference worker.
//
// It runs over a SOCK_SEQPACKET socket pair, made anew for each generation of the worker, one message per packet. The
// pixels themselves lie in shared memory (package ring); a message only says where.
//
// # Sequence
//
//	parent                                        child (worker)
//	  | Load            what to load, and how ------> |
//	  | <------------- Heartbeat (loading) every 1 s  |  also before and while the model loads
//	  | <------------- Heartbeat (building)           |  while an engine is built: the deadline grows
//	  | <------------- Hello     the model is loaded  |  once; nothing but Load and Shutdown is sent before it
//	  | OpenStream + ring's descriptor -------------> |  once for each stream that is open, and for each that opens
//	  | Frames          1 to 16 records ------------> |  at most K frames are without a Result at any time
//	  | <------------- Result    one for each record  |  in the records' order
//	  | <------------- Heartbeat (ready) every 1 s    |
//	  | CloseStream --------------------------------> |  after the stream's last Frames
//	  | Shutdown        with a reason --------------> |  no Frames come after it
//	  | <------------- Result    for what it has yet  |
//	  | <------------- Goodbye                        |  then the child ends
//
// At any time the child may send Fault, its last message: what went wrong, as a value. The parent's end being closed
// is the child's sign to end at once; the child's end being closed without Goodbye is a failure.
//
// # Layout
//
// Every message is a header of 16 bytes and a body. Numbers are little-endian.
//
//	0  u8   'V'
//	1  u8   version of this layout: ProtocolVersion
//	2  u8   kind
//	3  u8   0
//	4  u32  length of the body in bytes: exactly what follows the header in the packet
//	8  u64  generation of the worker
//
// Kinds and their bodies:
//
//	 1  Load         JSON
//	 2  OpenStream   JSON, with one descriptor by SCM_RIGHTS: the only kind that carries any
//	 3  CloseStream  JSON
//	 4  Frames       1 to 16 records of 32 bytes
//	 5  Shutdown     JSON
//	16  Hello        JSON
//	17  Heartbeat    16 bytes
//	18  Result       48 bytes, then 24 for each detection, at most 300
//	19  Fault        JSON
//	20  Goodbye      nothing
//
// A record of Frames:
//
//	 0  u32  stream
//	 4  u32  slot
//	 8  u32  the frame's sequence
//	12  u32  bytes used in the slot
//	16  i64  when the frame was captured, ns of CLOCK_MONOTONIC
//	24  i64  when it was submitted, ns of CLOCK_MONOTONIC
//
// Heartbeat:
//
//	0  u8   stage: 1 loading, 2 building, 3 ready
//	1  u8×7 0
//	8  u64  counter, of frames done in this life
//
// Result:
//
//	 0  u32  stream, slot and sequence as in the record that it answers
//	 4  u32
//	 8  u32
//	12  u8   status: 0 ok, 1 damaged (the picture's bytes), 2 failed (the inference)
//	13  u8   0
//	14  u16  number of detections; none unless ok
//	16  i64  queue: ns from submission to the worker's start on the frame
//	24  i64  preprocess, ns
//	32  i64  infer, ns
//	40  i64  decode, ns
//
// A detection:
//
//	0  u32  class
//	4  f32  score
//	8  f32  x1, y1, x2, y2 in 0..1 of the frame
//
// # What is rejected
//
// The other end's bytes are never trusted. A packet over MaxMessage, with another magic, version, kind or length, with
// bytes that ought to be 0 and are not, with more records or detections than it may have or a number that is none, with
// JSON that does not fit or a descriptor where none belongs, is a *Rejected with its Reason, and the talk goes on.
// Nothing is allocated by a length that a message claims. An empty packet cannot be told from the end of the
// connection and is taken for it.
package wire
