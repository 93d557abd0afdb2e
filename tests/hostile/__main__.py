"""Count the outcomes of many inputs."""

from tests.hostile.run import main

main()
