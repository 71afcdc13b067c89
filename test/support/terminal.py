"""Runs a command on a pseudo-terminal of 100 columns: terminal.py STEPS COMMAND...

STEPS is a JSON list of [wait for, send]: when the text was seen, the keys are typed. Everything that the terminal showed
goes to standard output; the exit code is the command's.
"""
import fcntl, json, os, pty, struct, sys, termios, time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    # the size must be there before the command looks
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    os.execvp(command[0], command)
shown = b""
seen = 0
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    while steps and shown.find(steps[0][0].encode(), seen) != -1:
        text, keys = steps.pop(0)
        seen = shown.find(text.encode(), seen) + len(text.encode())
        os.write(terminal, keys.encode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
