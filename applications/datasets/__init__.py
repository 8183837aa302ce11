"""Sources of data: folders of aligned images, rendered rooms, NYU Depth v2.

A reader yields plain NumPy arrays and class indices and knows no task; what a
task makes of them (scaling, cropping, batching) stands in the task.
"""
