# Two commands: "make demo" and "make test". Each makes the virtual environment it needs, in .venv of this folder.
.DELETE_ON_ERROR:
.PHONY: demo test students benchmark screenshots clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

# The demo takes your own files: make demo CT=ct.nii.gz LIVER=seg.nii.gz:1 TUMOR=seg.nii.gz:2 OUT=my_result
OUT ?= demo
CT ?=
LIVER ?=
TUMOR ?=

demo: $(READY)
	$(RUN) -m REACTDistillScene.demo --out "$(OUT)" $(if $(CT),--ct "$(CT)") $(if $(LIVER),--liver "$(LIVER)") $(if $(TUMOR),--tumor "$(TUMOR)")

test: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest

# Distills both demo students on synthetic patients into Resources/Students; about 40 minutes on two cores.
students: $(READY)
	$(RUN) Testing/benchmarks/make_students.py

benchmark: $(READY)
	$(RUN) Testing/benchmarks/grade_speed.py
	$(RUN) Testing/benchmarks/faithfulness.py
	$(RUN) Testing/benchmarks/regrade_speed.py
	$(RUN) Testing/benchmarks/panel_speed.py

# A picture of each panel into Resources/Screenshots, drawn outside the application.
screenshots: $(READY)
	$(RUN) Testing/screenshots.py

$(READY): pyproject.toml Testing/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --constraint Testing/constraints.txt torch
	$(RUN) -m pip install --quiet --constraint Testing/constraints.txt --editable ".[train,scene,tests]"
	touch $@

clean:
	rm -rf $(VENV) demo runs build
