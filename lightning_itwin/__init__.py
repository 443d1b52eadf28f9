"""PyTorch Lightning for scientific machine learning on HPC.

A number flows one way through this house: Trainer -> callback -> meter -> record -> report.

====================  ==============================================================================
room                  what stands there
====================  ==============================================================================
``bench``             studies many trainings: ``python -m lightning_itwin.bench``
``hpo``               tunes any module, many trials at once: ``python -m lightning_itwin.hpo``
``reports``           records -> tables, figures, HTML page, TensorBoard; needs no torch
``launch``            starts worlds of processes
``cli``               LightningCLI for any module: ``python -m lightning_itwin fit --config ...``
``callbacks``         GPUMonitor, CommunicationProfiler, CarbonTracker, EpochTimer
``strategies``        HorovodStrategy, and a DeepSpeedStrategy that also runs on CPU
``meters``            instruments that know no Trainer: NVML, profiler traces, energy
``records``           typed rows and their files; standard library only
``models``            the zoo's LightningModules
``datamodules``       the zoo's LightningDataModules; the two meet in the Trainer alone
``inference``         priors, likelihood, importance sampling, calibration, posterior files
``detectors``         interferometers, PSDs, projection, noise; ``waveforms`` and ``flows`` below it
``subtraction``       noise that witnesses saw, taken out of the strain; ``strain`` below it
``forecasts``         forecast files, warnings, verification; ``hydrology`` and ``metrics`` below it
``pages``             what every self-contained HTML page shares
``optional``          the one way to an optional dependency
====================  ==============================================================================
"""

__version__ = "0.1.0"
