"""docs/man: the pages say what the commands and the documentation say, no less and no more."""

import os
import re
import shutil
import subprocess

import pytest

from harness.certs import Authority
from harness.process import TREE, patience
from harness.ringway import command

MAN = TREE / "docs" / "man"
PAGES = ("ringway.1", "ringway.yaml.5")
COMMAND_PAGE, FILE_PAGE = ((MAN / page).read_text() for page in PAGES)
CONFIG = (TREE / "docs" / "config.md").read_text()


def help_of(*arguments):
    done = command(*arguments, "--help")
    assert done.returncode == 0
    return done.stdout


def commands():
    return re.findall(r"^  (\w+) ", help_of(), re.M)


def section(page, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", page, re.M | re.S)
    assert found, title
    return found[1]


def subsections(text):
    pieces = re.split(r"^\.Ss (.*)\n", text, flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2]))


def shown(line):
    """A line of mdoc as a reader sees it; only what the synopsis and the lists use."""
    words = []
    is_optional = line.startswith(".Op ")
    is_flag = False
    for word in line.lstrip(".").split():
        if word in ("It", "Op", "Nm", "Cm", "Ar"):
            continue
        if word == "Fl":
            is_flag = True
            continue
        words.append("-" + word if is_flag else word)
        is_flag = False
    return f"[{' '.join(words)}]" if is_optional else " ".join(words)


def synopsis():
    """The usage of each command."""
    usages = []
    for line in section(COMMAND_PAGE, "SYNOPSIS").splitlines():
        if line == ".Nm":
            usages.append("ringway")
        else:
            usages[-1] += " " + shown(line)
    return usages


def options_in_help(name):
    return re.findall(r"^  (--[a-z-]+(?: [A-Z]+)?)(?=  )", help_of(name), re.M)


# ringway.1

def test_each_command_stands_in_the_page_and_no_other():
    assert list(subsections(section(COMMAND_PAGE, "COMMANDS"))) == commands()


def test_the_synopsis_is_the_usage_that_the_commands_print():
    assert synopsis() == [help_of(name).splitlines()[0].removeprefix("usage: ")
                          for name in commands()]


@pytest.mark.parametrize("name", subsections(section(COMMAND_PAGE, "COMMANDS")))
def test_each_option_stands_in_its_command_and_no_other(name):
    text = subsections(section(COMMAND_PAGE, "COMMANDS"))[name]
    listed = [shown(line) for line in text.splitlines() if line.startswith(".It Fl ")]
    assert listed == options_in_help(name)
    # What the usage takes is explained.
    taken = set(re.findall(r"--[a-z-]+", help_of(name).splitlines()[0]))
    assert taken == {option.split()[0] for option in listed}


def test_each_option_that_the_page_mentions_is_one():
    known = {option.split()[0] for name in commands() for option in options_in_help(name)}
    named = {"-" + word for word in re.findall(r"\bFl (-[a-z-]+)", COMMAND_PAGE)}
    assert named == known | {"--help", "--version"}
    assert command("--version").stdout == command("version").stdout
    assert command("check", "-h").stdout == help_of("check")


def test_the_paths_of_the_origin():
    listed = re.findall(r"^\.It Pa (\S+)", subsections(section(COMMAND_PAGE, "COMMANDS"))["origin"],
                        re.M)
    assert listed == re.findall(r"^  (/\S+)", help_of("origin"), re.M)


def test_signals():
    listed = set(re.findall(r"SIG\w+", section(COMMAND_PAGE, "SIGNALS")))
    assert listed == set(re.findall(r"SIG\w+", help_of("run")))


def test_the_environment_is_what_the_sources_ask_for():
    asked = set()
    for path in (TREE / "src").rglob("*.c"):
        asked |= set(re.findall(r'getenv\("(\w+)"\)', path.read_text()))
    assert asked
    assert set(re.findall(r"^\.It Ev (\w+)", section(COMMAND_PAGE, "ENVIRONMENT"), re.M)) == asked


def test_sockets_are_where_the_page_says():
    """Without a gateway `status` lists where it looked."""
    done = command("status", "--instance", "nobody-has-this",
                   env={**os.environ, "XDG_RUNTIME_DIR": "/"})
    assert done.returncode == 1
    listed = re.findall(r"^\.It Pa (\S+INSTANCE\.sock)", section(COMMAND_PAGE, "FILES"), re.M)
    assert len(listed) == 3
    places = [place.replace("INSTANCE", "nobody-has-this").replace("$XDG_RUNTIME_DIR", "/")
              .replace("UID", str(os.getuid())) for place in listed]
    looked = re.findall(r"^  (/\S+)", done.stderr, re.M)
    # Those whose folder is there.
    assert looked and set(looked) == {place for place in places
                                      if os.path.isdir(os.path.dirname(place))}


# ringway.yaml.5

def documented_top_level():
    top = re.search(r"^## Top level\n(.*?)^(?=## services)", CONFIG, re.M | re.S)[1]
    table = top.split("###")[0]
    return (set(re.findall(r"^\| `(\w+)` \|", table, re.M)) |
            set(re.findall(r"^### (\w+)$", top, re.M)) | {"services"})


def test_each_top_level_key_stands_in_the_page_and_no_other():
    listed = re.findall(r"^\.It Cm (\w+)", section(FILE_PAGE, "TOP LEVEL"), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == documented_top_level()


@pytest.mark.parametrize("title, heading", [("LISTENERS", "### listeners"),
                                            ("SERVICES", "## services")])
def test_keys_of_the_page_are_documented(title, heading):
    table = CONFIG.split(heading + "\n", 1)[1].split("\n#", 1)[0]
    documented = {key.split(".")[0] for key in
                  re.findall(r"`([\w.]+)`", "".join(re.findall(r"^(\|.*?\|)", table, re.M)))}
    listed = set(re.findall(r"^\.It Cm (\w+)", section(FILE_PAGE, title), re.M))
    assert listed <= documented
    if title == "LISTENERS":
        assert listed == documented


def test_every_key_that_the_page_mentions_is_documented():
    keys = set()
    for line in re.findall(r"^\.(?:It |Po )?Cm (.*)", FILE_PAGE, re.M):
        keys |= {word.split(".")[-1] for word in line.split()
                 if re.fullmatch(r"[a-z_.]{2,}", word)}
    assert len(keys) > 50
    code = re.sub(r"^```.*?^```", "", CONFIG, flags=re.M | re.S)
    known = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]*)`", code))))
    known |= documented_top_level()
    assert keys - known == set()


def test_the_examples_of_the_page_are_good(tmp_path):
    ca = Authority(tmp_path / "certs")
    ca.issue("api", ["api.example.com"])
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", FILE_PAGE, re.M | re.S)
    assert len(blocks) == 3
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block.replace("\\e", "\\"))
        done = command("check", path)
        assert done.returncode == 0, done.stdout


# Both

@pytest.mark.parametrize("page", PAGES)
def test_mandoc_has_nothing_to_say(page):
    if not shutil.which("mandoc"):
        pytest.skip("there is no mandoc")
    # Not its opinions of style: a page that is not installed is one of them.
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", MAN / page],
                          capture_output=True, text=True, timeout=patience(20))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_man_has_nothing_to_say(page):
    if not shutil.which("man") or not shutil.which("groff"):
        pytest.skip("there is no man, or no groff")
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", MAN / page],
                          env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "",
                               "MANWIDTH": "80"},
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=patience(20))
    assert (done.returncode, done.stderr) == (0, "")
